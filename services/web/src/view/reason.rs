//! Why something failed, with whose fault it is.

use domain::reason::{Fault, ReasonCode};

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct Reason {
    #[schema(value_type = String)]
    pub(crate) code: ReasonCode,
    /// Whose fault it is: `user` or `platform`.
    pub(crate) fault: &'static str,
    pub(crate) message: String,
    pub(crate) hint: String,
    /// The lines that prove it.
    pub(crate) lines: Vec<String>,
}

impl Reason {
    pub(crate) fn new(reason: &domain::reason::Reason) -> Reason {
        Reason {
            code: reason.code,
            fault: match reason.fault() {
                Fault::User => "user",
                Fault::Platform => "platform",
            },
            message: reason.message.clone(),
            hint: reason.hint.clone(),
            lines: reason.lines.iter().map(|line| super::text::plain(line)).collect(),
        }
    }
}
