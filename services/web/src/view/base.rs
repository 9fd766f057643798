//! An image that a build began from.

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct Base {
    /// As it stands in `FROM`, with the tag that it was taken by.
    pub(crate) name: String,
    pub(crate) digest: String,
}

impl From<store::provenance::Base> for Base {
    fn from(row: store::provenance::Base) -> Base {
        Base { name: row.name, digest: row.digest }
    }
}
