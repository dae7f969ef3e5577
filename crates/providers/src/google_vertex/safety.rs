//! Support codes: what a filter of Google's calls its reason.
//!
//! Google lists them under "responsible AI" for Veo. They refine what is told of a refusal; none of them changes what it is.

/// What each of them is about.
const CODES: [(&str, &[&str]); 11] = [
    ("children", &["58061214", "17301594"]),
    ("celebrities", &["29310472", "15236754"]),
    ("video safety", &["64151117", "42237218"]),
    ("dangerous content", &["62263041"]),
    ("hate", &["57734940", "22137204"]),
    (
        "prohibited content",
        &["89371032", "49114662", "63429089", "72817394", "60599140"],
    ),
    ("third-party content", &["35561574", "35561575"]),
    ("sexual content", &["90789179", "43188360"]),
    ("toxicity", &["78610348"]),
    ("violence", &["61493863", "56562880"]),
    ("vulgarity", &["32635315"]),
];
const OTHER: [&str; 3] = ["74803281", "29578790", "42876398"];
/// Words of a refusal for what it says or shows, beside a code.
const WORDS: [&str; 5] = [
    "usage guideline",
    "violat",
    "support code",
    "responsible ai",
    "safety",
];
const CODE_DIGITS: usize = 8;

/// The support codes in a text, in their order.
pub(super) fn codes(text: &str) -> Vec<&str> {
    text.split(|letter: char| !letter.is_ascii_digit())
        .filter(|digits| {
            digits.len() == CODE_DIGITS && (label(digits).is_some() || is_other(digits))
        })
        .collect()
}

/// Whether a refusal in these words is for what a request says or shows.
pub(super) fn refuses_content(text: &str) -> bool {
    let plain = text.to_ascii_lowercase();
    !codes(text).is_empty() || WORDS.iter().any(|word| plain.contains(word))
}

/// What the first code with a name in these texts is about.
pub(super) fn about<'a>(texts: impl IntoIterator<Item = &'a str>) -> Option<&'static str> {
    texts.into_iter().flat_map(codes).find_map(label)
}

fn label(code: &str) -> Option<&'static str> {
    CODES
        .iter()
        .find(|(_, codes)| codes.contains(&code))
        .map(|(about, _)| *about)
}

fn is_other(code: &str) -> bool {
    OTHER.contains(&code)
}
