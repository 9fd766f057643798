//! Deliveries and statuses against recorded bytes, published signatures and a forge made of wiremock.

mod deliveries;
mod statuses;
mod vectors;
