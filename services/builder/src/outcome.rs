//! Which failures end a build and which are tried again, and when. Pure.

use std::time::Duration;

use domain::reason::{Fault, Reason};

/// Before the second, third and fourth attempt.
const BACKOFF: [Duration; 3] = [Duration::from_secs(2), Duration::from_secs(5), Duration::from_secs(10)];
/// Spread, so that the builds that one fault broke do not all come back at once.
const JITTER: f64 = 0.4;

#[derive(Debug, PartialEq)]
pub(crate) enum Decision {
    Fail(Reason),
    Retry { error: String, delay: Duration },
}

/// `attempt` counts from 1; `random` is in 0..1.
pub(crate) fn decide(reason: Reason, attempt: i32, attempt_max: i32, random: f64) -> Decision {
    match reason.fault() {
        Fault::Platform if attempt < attempt_max => {
            let index = usize::try_from(attempt - 1).unwrap_or(0).min(BACKOFF.len() - 1);
            let delay = BACKOFF[index].mul_f64(1.0 + JITTER * (random - 0.5));
            Decision::Retry { error: reason.message, delay }
        }
        Fault::Platform | Fault::User => Decision::Fail(reason),
    }
}

/// What the log says; `next` is the attempt to come.
pub(crate) fn retry_line(error: &str, delay: Duration, next: i32, attempt_max: i32) -> String {
    format!("{error}; trying again in {:.0} s (attempt {next} of {attempt_max})", delay.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use domain::reason::ReasonCode;

    use super::*;

    fn delay_s(attempt: i32, random: f64) -> Option<f64> {
        let reason = Reason::new(ReasonCode::BuildkitUnavailable, "BuildKit did not answer");
        match decide(reason, attempt, 4, random) {
            Decision::Retry { delay, .. } => Some(delay.as_secs_f64()),
            Decision::Fail(_) => None,
        }
    }

    #[test]
    fn faults_of_the_platform_are_tried_again_later_and_later() {
        assert_eq!([1, 2, 3].map(|attempt| delay_s(attempt, 0.5)), [Some(2.0), Some(5.0), Some(10.0)]);
        assert_eq!(delay_s(4, 0.5), None, "the last attempt");
        assert_eq!((delay_s(2, 0.0), delay_s(2, 1.0)), (Some(4.0), Some(6.0)));
    }

    #[test]
    fn faults_of_the_user_are_not() {
        let reason = Reason::new(ReasonCode::StepFailed, "RUN false failed");
        assert_eq!(decide(reason.clone(), 1, 4, 0.5), Decision::Fail(reason));
    }

    #[test]
    fn the_log_says_when_it_goes_on() {
        assert_eq!(
            retry_line("BuildKit did not answer", Duration::from_millis(4900), 3, 4),
            "BuildKit did not answer; trying again in 5 s (attempt 3 of 4)"
        );
    }
}
