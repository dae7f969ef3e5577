//! Which server speaks the dialect, and what hangs on that.

use filmgate_core::failure::Billed;
use serde::Deserialize;

use super::video::Video;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Flavour {
    /// The dialect as its maker defines it, and whatever cannot be told from it.
    #[serde(rename = "openai")]
    OpenAi,
    #[serde(rename = "vllm-omni")]
    VllmOmni,
    #[serde(rename = "sglang")]
    SgLang,
    /// The proxy: a vendor stands behind it.
    #[serde(rename = "litellm")]
    LiteLlm,
}

/// What the proxy's ids begin with: they are its own text in base64, `litellm:` first.
const LITELLM_ID: &str = "video_bGl0ZWxsbTpj";
const VLLM_OMNI_ID: &str = "video_gen_";

impl Flavour {
    pub const ALL: [Self; 4] = [Self::OpenAi, Self::VllmOmni, Self::SgLang, Self::LiteLlm];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::VllmOmni => "vllm-omni",
            Self::SgLang => "sglang",
            Self::LiteLlm => "litellm",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|flavour| flavour.as_str() == text)
    }

    /// How many outputs of one job it hands over.
    pub const fn most_outputs(self) -> u32 {
        match self {
            Self::SgLang => u32::MAX,
            Self::OpenAi | Self::VllmOmni | Self::LiteLlm => 1,
        }
    }

    /// Whether a model can be told to make sound or not. SGLang's newer releases can be; whether this one can, its
    /// operator knows.
    pub const fn has_sound_switch(self) -> bool {
        match self {
            Self::VllmOmni | Self::SgLang | Self::LiteLlm => true,
            Self::OpenAi => false,
        }
    }

    /// The server that made this id and, where it is at hand, this object.
    pub(super) fn told_by(id: &str, video: Option<&Video>) -> Self {
        if id.starts_with(LITELLM_ID) {
            Self::LiteLlm
        } else if id.starts_with(VLLM_OMNI_ID) {
            Self::VllmOmni
        } else if video.is_some_and(|video| video.names_files) {
            Self::SgLang
        } else {
            Self::OpenAi
        }
    }

    /// Whether work is charged for that ended without an output. Nobody sends the operator a bill for their own machine;
    /// what a vendor does is not told in this dialect.
    pub(super) const fn bills_unfinished(self) -> Billed {
        match self {
            Self::VllmOmni | Self::SgLang => Billed::No,
            Self::OpenAi | Self::LiteLlm => Billed::Unknown,
        }
    }

    /// Whether a running job's `progress` means something.
    pub(super) const fn tells_progress(self) -> bool {
        // vLLM-Omni says 0 until it says 100.
        !matches!(self, Self::VllmOmni)
    }

    /// Whether the object's `url` is where the output is: SGLang's, once it has put it into a bucket.
    pub(super) const fn names_outputs(self) -> bool {
        matches!(self, Self::SgLang)
    }

    pub(super) const fn has_delete(self) -> bool {
        !matches!(self, Self::LiteLlm)
    }

    /// Whether a job it does not know is lost for certain: it keeps them in memory and stands behind them itself.
    pub(super) const fn keeps_jobs_itself(self) -> bool {
        matches!(self, Self::VllmOmni | Self::SgLang)
    }
}
