//! A line of a log.

use store::Time;

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct Line {
    /// From 0, without holes.
    pub(crate) number: i64,
    /// The step that wrote it; 0 is the build itself.
    pub(crate) step: i32,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) at: Time,
    /// It goes on with the line of its step before it, which was too long for one.
    pub(crate) continues: bool,
    /// Without terminal escapes; what a carriage return overwrote is left out.
    pub(crate) text: String,
}

impl From<store::log::Line> for Line {
    fn from(row: store::log::Line) -> Line {
        Line {
            number: row.number,
            step: row.step,
            at: row.at,
            continues: row.continues,
            text: super::text::plain(&row.text),
        }
    }
}

impl Line {
    /// As people count.
    pub(crate) fn shown_number(&self) -> i64 {
        self.number + 1
    }
}
