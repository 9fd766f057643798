//! A webhook delivery and what was made of it.

use store::Time;
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct Delivery {
    pub(crate) id: Uuid,
    pub(crate) verdict: String,
    pub(crate) why: Option<String>,
    pub(crate) event: Option<String>,
    #[serde(rename = "ref")]
    pub(crate) reference: Option<String>,
    pub(crate) commit: Option<String>,
    /// The forge's own id of the delivery.
    pub(crate) delivery_key: Option<String>,
    pub(crate) body_bytes: i64,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) received_at: Time,
}

impl From<store::delivery::Delivery> for Delivery {
    fn from(row: store::delivery::Delivery) -> Delivery {
        Delivery {
            id: row.id,
            verdict: row.verdict,
            why: row.why,
            event: row.event,
            reference: row.reference,
            commit: row.commit,
            delivery_key: row.delivery_key,
            body_bytes: row.body_bytes,
            received_at: row.received_at,
        }
    }
}

impl Delivery {
    /// The class of its colour, as of a status.
    pub(crate) fn class(&self) -> &'static str {
        match self.verdict.as_str() {
            "accepted" => "good",
            "ignored" | "duplicate" => "past",
            _ => "bad",
        }
    }

    pub(crate) fn shape(&self) -> &'static str {
        let status = match self.class() {
            "good" => super::Status::Live,
            "past" => super::Status::Replaced,
            _ => super::Status::Failed,
        };
        status.shape()
    }

    pub(crate) fn short_ref(&self) -> &str {
        let reference = self.reference.as_deref().unwrap_or_default();
        reference.strip_prefix("refs/heads/").unwrap_or(reference)
    }

    pub(crate) fn short_commit(&self) -> &str {
        domain::commit::short(self.commit.as_deref().unwrap_or_default())
    }
}
