//! What can go wrong in the place where objects are kept. Answers of buckets are classified here, once.

use std::io;
use std::time::Duration;

/// Why the asset store did not do as it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The disk of the store, or of the spool before it.
    #[error("the disk failed")]
    Disk(#[source] io::Error),
    /// The bucket is not there, or not for us.
    #[error(
        "the bucket refuses us ({reason}): check its name, the endpoint, the region, the keys and what they may do"
    )]
    Refused {
        /// The bucket's own word for it, where it gave one.
        reason: String,
        #[source]
        source: object_store::Error,
    },
    /// The bucket failed, had no room, or did not answer.
    #[error("the bucket failed")]
    Unavailable(#[source] object_store::Error),
    #[error("the bucket did not answer within {} s", .0.as_secs())]
    Silent(Duration),
    #[error("the object broke off, {missing} bytes before its end")]
    BrokeOff { missing: u64 },
    #[error("{put} bytes were put, and the bucket has {kept}")]
    NotWhole { put: u64, kept: u64 },
}

impl Fault {
    /// Whether trying again may help although nobody has done anything about it.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Refused { .. } => false,
            Self::Disk(_)
            | Self::Unavailable(_)
            | Self::Silent(_)
            | Self::BrokeOff { .. }
            | Self::NotWhole { .. } => true,
        }
    }
}

impl From<object_store::Error> for Fault {
    fn from(error: object_store::Error) -> Self {
        use object_store::Error;
        let code = code(&error);
        let refused = match &error {
            Error::PermissionDenied { .. }
            | Error::Unauthenticated { .. }
            | Error::NotSupported { .. }
            | Error::NotImplemented { .. }
            | Error::InvalidPath { .. }
            | Error::UnknownConfigurationKey { .. } => true,
            _ => code.as_deref().is_some_and(|code| {
                is_no_bucket(code)
                    || matches!(
                        code,
                        "AuthorizationHeaderMalformed" | "InvalidBucketName" | "PermanentRedirect"
                    )
            }),
        };
        if refused {
            Self::Refused {
                reason: code.unwrap_or_else(|| "no reason was given".to_owned()),
                source: error,
            }
        } else {
            Self::Unavailable(error)
        }
    }
}

/// Whether an error says that there is no such object, in a bucket that is there.
pub(crate) fn is_no_object(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotFound { .. })
        && !code(error).is_some_and(|code| is_no_bucket(&code))
}

/// Whether an error says that a range has nothing of the object in it.
pub(crate) fn is_out_of_range(error: &object_store::Error) -> bool {
    code(error).as_deref() == Some("InvalidRange")
}

fn is_no_bucket(code: &str) -> bool {
    matches!(code, "NoSuchBucket" | "ContainerNotFound")
}

/// The bucket's own word for what went wrong. It stands in the body of the answer, which `object_store` shows in its
/// message and nowhere else; an answer to a HEAD has none.
fn code(error: &object_store::Error) -> Option<String> {
    const MOST: usize = 64;
    let message = error.to_string();
    let (_, rest) = message.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    let plain = code.len() <= MOST && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    plain.then(|| code.to_owned())
}
