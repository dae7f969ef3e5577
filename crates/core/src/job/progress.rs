//! Progress and the advice to pollers: pure arithmetic on how long such jobs took lately.

use std::time::Duration;

use super::{Life, ProgressSource};
use crate::time::UnixTime;

/// What is known of a running job's time when a provider is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Expectation {
    /// How long this model at this provider takes from acceptance to success; `None` where nothing is
    /// known.
    pub total: Option<Duration>,
    /// When the provider is asked next.
    pub next_poll: Duration,
}

/// Estimates are written in steps of this size, so that they do not change with every poll.
const STEP: u8 = 5;
/// What nobody reported is never shown as more than this.
const MOST_ESTIMATED: u8 = 95;

/// How long a well-behaved client waits: half of what is left, so that polls become denser near the
/// end; 20 where nothing is known.
pub fn poll_after_seconds(left: Option<Duration>) -> u32 {
    match left {
        None => 20,
        Some(left) => u32::try_from(left.as_secs().div_ceil(2))
            .unwrap_or(60)
            .clamp(1, 60),
    }
}

impl Life {
    /// Takes in what a poll or a submit showed. Progress never goes down, and 100 is for completed jobs.
    pub(super) fn observe(
        &mut self,
        reported: Option<u8>,
        expectation: Expectation,
        now: UnixTime,
    ) {
        self.observed_at = Some(now);
        let since = self
            .attempt
            .as_ref()
            .and_then(|attempt| attempt.accepted_at)
            .unwrap_or(now);
        let left = expectation.total.map(|total| since.plus(total).since(now));
        self.estimated_completion_at = left.map(|left| now.plus(left));
        self.poll_after_seconds = poll_after_seconds(left);
        let (seen, source) = match reported {
            Some(percent) => (Some(percent.min(99)), ProgressSource::Provider),
            None => (
                expectation
                    .total
                    .map(|total| estimate(now.since(since), total)),
                ProgressSource::Estimated,
            ),
        };
        if let Some(seen) = seen
            && self.progress.is_none_or(|before| {
                seen > before || (seen == before && source == ProgressSource::Provider)
            })
        {
            self.progress = Some(seen);
            self.progress_source = source;
        }
    }
}

fn estimate(elapsed: Duration, total: Duration) -> u8 {
    let percent = elapsed.as_millis() * 100 / total.as_millis().max(1);
    u8::try_from(percent)
        .unwrap_or(MOST_ESTIMATED)
        .min(MOST_ESTIMATED)
        / STEP
        * STEP
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_waits_half_of_what_is_left() {
        let wait = |seconds| poll_after_seconds(Some(Duration::from_secs(seconds)));
        assert_eq!(
            (wait(0), wait(1), wait(9), wait(60), wait(600)),
            (1, 1, 5, 30, 60)
        );
        assert_eq!(poll_after_seconds(None), 20);
    }

    #[test]
    fn an_estimate_goes_in_steps_and_stops_short_of_the_end() {
        let at = |seconds| estimate(Duration::from_secs(seconds), Duration::from_secs(100));
        assert_eq!(
            (at(0), at(4), at(5), at(52), at(99), at(10_000)),
            (0, 0, 5, 50, 95, 95)
        );
        assert_eq!(estimate(Duration::ZERO, Duration::ZERO), 0);
    }
}
