//! A bad day on order: the directives of a prompt, strictly parsed.
//!
//! Each operation has its own sequence of faults: the first is met until it is used up, then the next one.
//!
//! Not here: acting on them (`emulator`, `content`, each vendor's routes).

use std::time::Duration;

const MARK: &str = "#fault=";
const MOST_SECONDS: f64 = 86_400.0;
/// What a failed job says when the prompt does not.
const ENGINE_FAILURE: u16 = 500;

/// How the emulator behaves towards one job, or towards everybody.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Script {
    pub(crate) submit: Sequence<SubmitFault>,
    pub(crate) poll: Sequence<PollFault>,
    pub(crate) content: Sequence<ContentFault>,
    pub(crate) delete: Sequence<Spoilt>,
    /// The answer to the submit comes so late.
    pub(crate) slow_submit: Option<Duration>,
    pub(crate) queue: Option<Duration>,
    pub(crate) render: Option<Duration>,
    pub(crate) ending: Option<Ending>,
    /// So many of its outputs are kept back.
    pub(crate) filtered: Option<u32>,
    /// The job is forgotten as soon as it is accepted.
    pub(crate) lost: bool,
    pub(crate) progress_backwards: bool,
}

/// The faults of one operation, in the order they are met.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sequence<F>(Vec<Turn<F>>);

#[derive(Debug, Clone, PartialEq)]
struct Turn<F> {
    /// Absent: all is well this time.
    fault: Option<F>,
    /// Absent: from here on, always.
    times: Option<u64>,
}

/// An answer that is not what it should be. What was asked for has been done all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Spoilt {
    /// The connection is cut, and not a byte was sent.
    Dropped,
    Empty,
    /// The first half of the JSON, as if it were all.
    Truncated,
    /// A page for people, with 200.
    Html,
    /// An error's envelope, with 200.
    ErrorIn200,
    Status(Status),
    /// Nothing is sent until somebody releases what is stalled.
    Stalled,
    /// An answer without an end in sight, of which no client may take in all.
    Huge,
    /// All of it, a few bytes at a time.
    Slow,
}

/// An error of the server's own, with the body it usually has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub(crate) code: u16,
    pub(crate) retry_after_seconds: Option<u32>,
    pub(crate) reason: Reason,
}

/// What the error's body says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// That a directive asked for it.
    Directive,
    /// That the prompt offends.
    Moderation,
    /// That the account has used up what it may; the vendor has a status of its own for that.
    Quota,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SubmitFault {
    /// No job is made.
    Refused(Spoilt),
    /// A job is made.
    Accepted(Spoilt),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PollFault {
    Spoilt(Spoilt),
    /// A status nobody knows.
    UnknownStatus,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ContentFault {
    Spoilt(Spoilt),
    /// Half the bytes, and a length that says so.
    ShortHonest,
    /// Half the bytes, the length of all, and the connection is cut.
    ShortLying,
    /// Half the bytes without a length, and the connection is cut before the last chunk.
    ShortChunked,
    /// A page for people, where the header says it is a video.
    HtmlAsVideo,
    /// Half the bytes; the rest follows when somebody releases it.
    StalledHalfway,
    /// It is elsewhere: at the same address, when it is asked for the next time.
    Redirected,
    /// It is said to be at an address that no vendor has files at, and every cloud has secrets.
    RedirectedInward,
}

/// How a job ends, other than well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Fails(Failure),
    /// It never ends.
    Stuck,
}

/// Why a job failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The engine broke down.
    Engine { code: u16 },
    /// The prompt or the result offends.
    Moderation,
}

/// A directive that is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{MARK}{directive} was sent; {allowed}")]
pub(crate) struct Unknown {
    directive: String,
    allowed: &'static str,
}

enum Directive {
    Submit(Option<SubmitFault>),
    Poll(Option<PollFault>),
    Content(Option<ContentFault>),
    Delete(Option<Spoilt>),
    SlowSubmit(Duration),
    Queue(Duration),
    Render(Duration),
    Ends(Ending),
    Filtered(u32),
    Lost,
    ProgressBackwards,
}

impl<F> Default for Sequence<F> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<F> Sequence<F> {
    /// What the call number `index` meets, counted from 0.
    pub(crate) fn at(&self, mut index: u64) -> Option<&F> {
        for turn in &self.0 {
            match turn.times {
                Some(times) if index >= times => index -= times,
                _ => return turn.fault.as_ref(),
            }
        }
        None
    }

    /// Everything that may be met.
    pub(crate) fn all(&self) -> impl Iterator<Item = &F> {
        self.0.iter().filter_map(|turn| turn.fault.as_ref())
    }
}

impl Script {
    /// Reads the directives among the words of a prompt.
    pub(crate) fn of_prompt(prompt: &str) -> Result<Self, Unknown> {
        Self::of(
            prompt
                .split_whitespace()
                .filter_map(|word| word.strip_prefix(MARK)),
        )
    }

    /// Reads directives without their mark.
    pub(crate) fn of<'a>(directives: impl IntoIterator<Item = &'a str>) -> Result<Self, Unknown> {
        let mut script = Self::default();
        for directive in directives {
            script.add(directive)?;
        }
        Ok(script)
    }

    /// What one job did not ask for is as it is for everybody. Faults of calls are not: those are met on their own.
    pub(crate) fn fall_back_to(&mut self, everybody: &Self) {
        self.slow_submit = self.slow_submit.or(everybody.slow_submit);
        self.queue = self.queue.or(everybody.queue);
        self.render = self.render.or(everybody.render);
        self.ending = self.ending.or(everybody.ending);
        self.filtered = self.filtered.or(everybody.filtered);
        self.lost |= everybody.lost;
        self.progress_backwards |= everybody.progress_backwards;
    }

    fn add(&mut self, text: &str) -> Result<(), Unknown> {
        let unknown = |allowed| Unknown {
            directive: text.chars().take(64).collect(),
            allowed,
        };
        let (rest, times) = split_times(text).ok_or_else(|| {
            unknown("a count is written -once or -times=N, N a whole number from 1")
        })?;
        let (name, retry_after) = split_retry_after(rest)
            .ok_or_else(|| unknown("-retry-after takes a whole number of seconds"))?;
        let directive = Directive::parse(name, retry_after).ok_or_else(|| {
            unknown("it is no directive of this emulator, or its value is out of bounds")
        })?;
        match directive {
            Directive::Submit(fault) => self.submit.0.push(Turn { fault, times }),
            Directive::Poll(fault) => self.poll.0.push(Turn { fault, times }),
            Directive::Content(fault) => self.content.0.push(Turn { fault, times }),
            Directive::Delete(fault) => self.delete.0.push(Turn { fault, times }),
            _ if times.is_some() => return Err(unknown("a count means nothing here")),
            Directive::SlowSubmit(late) => self.slow_submit = Some(late),
            Directive::Queue(queue) => self.queue = Some(queue),
            Directive::Render(render) => self.render = Some(render),
            Directive::Ends(ending) => self.ending = Some(ending),
            Directive::Filtered(outputs) => self.filtered = Some(outputs),
            Directive::Lost => self.lost = true,
            Directive::ProgressBackwards => self.progress_backwards = true,
        }
        Ok(())
    }
}

impl Directive {
    fn parse(name: &str, retry_after: Option<u32>) -> Option<Self> {
        if let Some((operation, code)) = name.rsplit_once('-')
            && let Some(code) = error_status(code)
        {
            return Self::of_status(operation, code, retry_after);
        }
        if retry_after.is_some() {
            return None;
        }
        if let Some(outputs) = name.strip_prefix("filtered=") {
            return outputs.parse().ok().map(Self::Filtered);
        }
        if let Some((name, value)) = name.split_once('=') {
            let duration = seconds(value)?;
            return match name {
                "slow-submit" => Some(Self::SlowSubmit(duration)),
                "queue" => Some(Self::Queue(duration)),
                "render" => Some(Self::Render(duration)),
                _ => None,
            };
        }
        let refused = |how| Self::Submit(Some(SubmitFault::Refused(how)));
        let accepted = |how| Self::Submit(Some(SubmitFault::Accepted(how)));
        let poll = |how| Self::Poll(Some(PollFault::Spoilt(how)));
        let spoilt = |how| Self::Content(Some(ContentFault::Spoilt(how)));
        let content = |fault| Self::Content(Some(fault));
        let delete = |how| Self::Delete(Some(how));
        Some(match name {
            "submit-ok" => Self::Submit(None),
            "drop-before-accept" => refused(Spoilt::Dropped),
            "answer-200-error" => refused(Spoilt::ErrorIn200),
            "submit-400-moderation" => refused(Spoilt::Status(Status {
                code: 400,
                retry_after_seconds: None,
                reason: Reason::Moderation,
            })),
            "submit-quota" => refused(Spoilt::Status(Status {
                code: 402,
                retry_after_seconds: None,
                reason: Reason::Quota,
            })),
            "drop-after-accept" => accepted(Spoilt::Dropped),
            "answer-empty" => accepted(Spoilt::Empty),
            "answer-truncated-json" => accepted(Spoilt::Truncated),
            "answer-html" => accepted(Spoilt::Html),
            "answer-stall" => accepted(Spoilt::Stalled),
            "answer-huge" => accepted(Spoilt::Huge),
            "answer-slow" => accepted(Spoilt::Slow),

            "poll-ok" => Self::Poll(None),
            "drop-poll" => poll(Spoilt::Dropped),
            "empty-poll" => poll(Spoilt::Empty),
            "malformed-poll" => poll(Spoilt::Truncated),
            "html-poll" => poll(Spoilt::Html),
            "poll-200-error" => poll(Spoilt::ErrorIn200),
            "poll-stall" => poll(Spoilt::Stalled),
            "huge-poll" => poll(Spoilt::Huge),
            "slow-poll" => poll(Spoilt::Slow),
            "unknown-status" => Self::Poll(Some(PollFault::UnknownStatus)),

            "content-ok" => Self::Content(None),
            "drop-content" => spoilt(Spoilt::Dropped),
            "empty-content" => spoilt(Spoilt::Empty),
            "not-a-video" => spoilt(Spoilt::Html),
            "content-stall" => spoilt(Spoilt::Stalled),
            "slow-content" => spoilt(Spoilt::Slow),
            "content-redirect" => content(ContentFault::Redirected),
            "content-redirect-inward" => content(ContentFault::RedirectedInward),
            "not-a-video-lying" => content(ContentFault::HtmlAsVideo),
            "content-stall-halfway" => content(ContentFault::StalledHalfway),
            "short-file-honest" => content(ContentFault::ShortHonest),
            "short-file-lying" => content(ContentFault::ShortLying),
            "short-chunked" => content(ContentFault::ShortChunked),

            "delete-ok" => Self::Delete(None),
            "drop-delete" => delete(Spoilt::Dropped),
            "empty-delete" => delete(Spoilt::Empty),
            "delete-stall" => delete(Spoilt::Stalled),

            "fail" => Self::Ends(Ending::Fails(Failure::Engine {
                code: ENGINE_FAILURE,
            })),
            "fail-moderation" => Self::Ends(Ending::Fails(Failure::Moderation)),
            "stuck" => Self::Ends(Ending::Stuck),
            "lost" => Self::Lost,
            "progress-backwards" => Self::ProgressBackwards,
            _ => return None,
        })
    }

    fn of_status(operation: &str, code: u16, retry_after: Option<u32>) -> Option<Self> {
        let status = Spoilt::Status(Status {
            code,
            retry_after_seconds: retry_after,
            reason: Reason::Directive,
        });
        match operation {
            "submit" => Some(Self::Submit(Some(SubmitFault::Refused(status)))),
            "answer" => Some(Self::Submit(Some(SubmitFault::Accepted(status)))),
            "poll" => Some(Self::Poll(Some(PollFault::Spoilt(status)))),
            "content" => Some(Self::Content(Some(ContentFault::Spoilt(status)))),
            "delete" => Some(Self::Delete(Some(status))),
            "fail" if retry_after.is_none() => {
                Some(Self::Ends(Ending::Fails(Failure::Engine { code })))
            }
            _ => None,
        }
    }
}

/// Takes the count off the end; `None` where it is no count.
fn split_times(text: &str) -> Option<(&str, Option<u64>)> {
    if let Some(rest) = text.strip_suffix("-once") {
        return Some((rest, Some(1)));
    }
    let Some((rest, count)) = text.rsplit_once("-times=") else {
        return Some((text, None));
    };
    let count = count.parse().ok().filter(|count| *count >= 1)?;
    Some((rest, Some(count)))
}

fn split_retry_after(text: &str) -> Option<(&str, Option<u32>)> {
    let Some((rest, seconds)) = text.rsplit_once("-retry-after=") else {
        return Some((text, None));
    };
    Some((rest, Some(seconds.parse().ok()?)))
}

/// A status of trouble, in three digits.
fn error_status(text: &str) -> Option<u16> {
    let code = text.parse().ok()?;
    (text.len() == 3 && (400..=599).contains(&code)).then_some(code)
}

fn seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.parse().ok()?;
    (0.0..=MOST_SECONDS)
        .contains(&seconds)
        .then(|| Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16, retry_after_seconds: Option<u32>) -> Spoilt {
        Spoilt::Status(Status {
            code,
            retry_after_seconds,
            reason: Reason::Directive,
        })
    }

    #[test]
    fn a_prompt_without_directives_asks_for_a_good_day() {
        let plain = "a fox, #faultless and #1, x#fault=fail";
        assert_eq!(Script::of_prompt(plain), Ok(Script::default()));
    }

    #[test]
    fn several_directives_stand_among_the_words() {
        let script =
            Script::of_prompt("a #fault=render=2.5 fox\n#fault=fail-moderation #fault=lost");
        let expected = Script {
            render: Some(Duration::from_millis(2500)),
            ending: Some(Ending::Fails(Failure::Moderation)),
            lost: true,
            ..Script::default()
        };
        assert_eq!(script, Ok(expected));
    }

    #[test]
    fn faults_of_one_operation_are_met_one_after_the_other() {
        let script = Script::of([
            "poll-ok-times=2",
            "poll-429-retry-after=7-times=2",
            "empty-poll-once",
            "poll-404",
            "poll-500",
        ])
        .unwrap();
        let met: Vec<_> = (0..8).map(|index| script.poll.at(index).cloned()).collect();
        let limited = Some(PollFault::Spoilt(status(429, Some(7))));
        let gone = Some(PollFault::Spoilt(status(404, None)));
        let empty = Some(PollFault::Spoilt(Spoilt::Empty));
        assert_eq!(
            met,
            [
                None,
                None,
                limited.clone(),
                limited,
                empty,
                gone.clone(),
                gone.clone(),
                gone
            ]
        );
    }

    #[test]
    fn after_the_last_counted_fault_all_is_well() {
        let script = Script::of(["content-404-once"]).unwrap();
        let gone = ContentFault::Spoilt(status(404, None));
        assert_eq!(script.content.at(0), Some(&gone));
        assert_eq!(script.content.at(1), None);
    }

    #[test]
    fn a_refused_submit_and_a_spoilt_answer_are_told_apart() {
        let script = Script::of([
            "submit-503-once",
            "answer-503-once",
            "submit-400-moderation",
        ]);
        let submit = script.unwrap().submit;
        assert_eq!(submit.at(0), Some(&SubmitFault::Refused(status(503, None))));
        assert_eq!(
            submit.at(1),
            Some(&SubmitFault::Accepted(status(503, None)))
        );
        assert!(matches!(
            submit.at(2),
            Some(SubmitFault::Refused(Spoilt::Status(Status {
                reason: Reason::Moderation,
                ..
            })))
        ));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for wrong in [
            "",
            "fial",
            "poll-600",
            "poll-0404",
            "poll-404-times=0",
            "poll-404-times=x",
            "list-500",
            "submit-429-retry-after=soon",
            "empty-poll-retry-after=1",
            "fail-500-retry-after=1",
            "fail-once",
            "render=-1",
            "render=nan",
            "render=",
            "queue=86401",
            "filtered=-1",
            "slow=1",
            "lost=1",
        ] {
            let told = Script::of_prompt(&format!("a {MARK}{wrong}")).unwrap_err();
            let sent = format!("{MARK}{wrong} was sent");
            assert!(told.to_string().starts_with(&sent), "{wrong}: {told}");
        }
    }
}
