//! The names of objects: who owns them, which job made them, which output they are.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use filmgate_core::id::{VideoId, WorkspaceId};

/// The file names of copies on their way into a directory.
pub(crate) const UNFINISHED: &str = "unfinished-";

/// Where one object is kept: `workspace/video/attempt/index`, with `.jpg` for its thumbnail, or `workspace/video/input/n`.
///
/// Only made of plain names, so it never leads out of the asset store's directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey(String);

/// A text that cannot be an object's key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an object key: write up to eight names of a-z, A-Z, 0-9, _, - and . separated by /, none starting with a dot"
)]
pub struct InvalidObjectKey(pub String);

impl ObjectKey {
    /// Nothing is ever kept under this key.
    pub(crate) const NOTHING: &'static str = "ready";

    pub fn output(workspace: WorkspaceId, video: VideoId, attempt: u32, index: u32) -> Self {
        Self(format!("{workspace}/{video}/{attempt}/{index}"))
    }

    pub fn thumbnail(workspace: WorkspaceId, video: VideoId, attempt: u32, index: u32) -> Self {
        Self(format!("{workspace}/{video}/{attempt}/{index}.jpg"))
    }

    /// What the client gave, the `number`th of the job's inputs.
    pub fn input(workspace: WorkspaceId, video: VideoId, number: u32) -> Self {
        Self(format!("{workspace}/{video}/input/{number}"))
    }

    /// Whose input it is, and which: `None` of another object.
    pub fn as_input(&self) -> Option<(WorkspaceId, VideoId, u32)> {
        let mut names = self.0.split('/');
        let (workspace, video) = (names.next()?.parse().ok()?, names.next()?.parse().ok()?);
        let number = names
            .next()
            .filter(|name| *name == "input")
            .and(names.next());
        let number = number?.parse().ok()?;
        names.next().is_none().then_some((workspace, video, number))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether we are the ones who name objects like this. What others keep beside ours is theirs.
    pub(crate) fn is_ours(&self) -> bool {
        let mut names = self.0.split('/');
        match (names.next(), names.next(), names.next()) {
            (Some(workspace), Some(video), Some(_)) => {
                workspace.parse::<WorkspaceId>().is_ok() && video.parse::<VideoId>().is_ok()
            }
            (Some(name), None, None) => name.starts_with(UNFINISHED),
            _ => false,
        }
    }

    pub(crate) fn object(&self) -> object_store::path::Path {
        object_store::path::Path::from(self.as_str())
    }

    pub(crate) fn file(&self, root: &Path) -> PathBuf {
        root.join(&self.0)
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ObjectKey {
    type Err = InvalidObjectKey;

    fn from_str(text: &str) -> Result<Self, InvalidObjectKey> {
        let plain = |name: &str| {
            !name.is_empty()
                && name.len() <= 128
                && !name.starts_with('.')
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
        };
        if text.split('/').count() <= 8 && text.split('/').all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidObjectKey(text.chars().take(64).collect()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_are_read_back_as_they_were_written() {
        let (workspace, video) = crate::test_media::owner();
        for key in [
            ObjectKey::output(workspace, video, 1, 0),
            ObjectKey::thumbnail(workspace, video, 1, 0),
            ObjectKey::input(workspace, video, 3),
        ] {
            assert_eq!(key.as_str().parse(), Ok(key.clone()));
            assert!(key.is_ours());
            let input = key == ObjectKey::input(workspace, video, 3);
            assert_eq!(key.as_input(), input.then_some((workspace, video, 3)));
            assert_eq!(key.object().as_ref(), key.as_str());
        }
    }

    #[test]
    fn what_others_name_is_not_ours() {
        let (workspace, video) = crate::test_media::owner();
        let others = [
            "ready".to_owned(),
            "holiday.mp4".to_owned(),
            "photos/2026/beach.jpg".to_owned(),
            format!("{workspace}/{video}"),
            format!("{workspace}/notes/1"),
            format!("backup/{workspace}/{video}/1"),
        ];
        for text in others {
            assert!(!text.parse::<ObjectKey>().unwrap().is_ours(), "{text}");
        }
        assert!("unfinished-3".parse::<ObjectKey>().unwrap().is_ours());
    }

    proptest! {
        #[test]
        fn no_key_leads_out_of_the_store(text in "[a-z./\\\\\0]{0,12}") {
            if let Ok(key) = text.parse::<ObjectKey>() {
                let file = key.file(Path::new("/root"));
                prop_assert!(file.starts_with("/root") && file != Path::new("/root"));
                prop_assert!(file.components().all(|part| part != std::path::Component::ParentDir));
            }
        }
    }

    #[test]
    fn what_could_lead_elsewhere_is_refused() {
        for text in [
            "",
            "/",
            "/etc/passwd",
            "a//b",
            "../a",
            "a/..",
            "a/.b",
            "a\\b",
            "a/b/",
        ] {
            assert!(text.parse::<ObjectKey>().is_err(), "{text:?}");
        }
    }
}
