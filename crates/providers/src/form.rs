//! A `multipart/form-data` body, with files named and not carried.

use filmgate_core::provider::{Body, Encoding, Part};

/// A form that is being filled in.
pub(crate) struct Form {
    boundary: String,
    parts: Vec<Part>,
    text: String,
}

impl Form {
    /// `key` makes the boundary, so it must be one that nobody could write into a field: the attempt's, which is minted
    /// after the request was read.
    pub(crate) fn new(key: &str) -> Self {
        let plain = key
            .chars()
            .filter(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_'));
        Self {
            // 70 characters are the most a boundary may have.
            boundary: "filmgate-".chars().chain(plain).take(70).collect(),
            parts: Vec::new(),
            text: String::new(),
        }
    }

    pub(crate) fn field(&mut self, name: &str, value: &str) {
        self.open(name, "");
        self.text.push_str("\r\n");
        self.text.push_str(value);
        self.text.push_str("\r\n");
    }

    /// The stored input number `index` as a file.
    pub(crate) fn file(&mut self, name: &str, filename: &str, mime_type: &str, index: usize) {
        self.open(name, &format!("; filename=\"{}\"", quoted(filename)));
        self.text
            .push_str(&format!("Content-Type: {mime_type}\r\n\r\n"));
        self.flush();
        self.parts.push(Part::Input {
            index,
            encoding: Encoding::Raw,
        });
        self.text.push_str("\r\n");
    }

    pub(crate) fn content_type(&self) -> String {
        format!("multipart/form-data; boundary={}", self.boundary)
    }

    pub(crate) fn into_body(mut self) -> Body {
        self.text.push_str(&format!("--{}--\r\n", self.boundary));
        self.flush();
        Body(self.parts)
    }

    fn open(&mut self, name: &str, more: &str) {
        let (boundary, name) = (&self.boundary, quoted(name));
        self.text.push_str(&format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"{more}\r\n"
        ));
    }

    fn flush(&mut self) {
        let text = std::mem::take(&mut self.text);
        self.parts.push(Part::Bytes(text.into()));
    }
}

/// As browsers write a name: what would end it early is escaped.
fn quoted(name: &str) -> String {
    name.replace('"', "%22")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_its_fields_and_files_between_boundaries() {
        let mut form = Form::new("video_1-2");
        form.field("prompt", "a\r\nfox");
        form.file("input_reference", "frame.png", "image/png", 3);
        form.field("odd\"name", "");
        assert_eq!(
            form.content_type(),
            "multipart/form-data; boundary=filmgate-video_1-2"
        );
        let Body(parts) = form.into_body();
        let shown: String = parts
            .iter()
            .map(|part| match part {
                Part::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
                Part::Input { index, encoding } => format!("<{index} {encoding:?}>"),
                Part::Choice { .. } => panic!("it knows no links"),
            })
            .collect();
        assert_eq!(
            shown,
            "--filmgate-video_1-2\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\na\r\nfox\r\n\
             --filmgate-video_1-2\r\nContent-Disposition: form-data; name=\"input_reference\"; filename=\"frame.png\"\r\n\
             Content-Type: image/png\r\n\r\n<3 Raw>\r\n\
             --filmgate-video_1-2\r\nContent-Disposition: form-data; name=\"odd%22name\"\r\n\r\n\r\n\
             --filmgate-video_1-2--\r\n"
        );
    }

    #[test]
    fn a_boundary_is_plain_and_not_too_long() {
        let form = Form::new(&"é\" \r\nx".repeat(100));
        assert_eq!(form.boundary.len(), 70);
        assert!(form.boundary.ends_with("xxx"));
    }
}
