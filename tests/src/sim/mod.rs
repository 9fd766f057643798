//! A simulator of the queue and of the states of pushes, builds and releases.
//!
//! What runs is real: the functions of `store`, against a real PostgreSQL. A seed decides all else: who does what next
//! (forges, users, receivers, builders, deployers, sweepers), how long it takes by a clock that is ours, who dies or
//! sleeps and wakes up too late, and which statement of an operation is cut off before or after it ran. One thing happens at
//! a time, so a seed that fails fails again. When a seed has done its steps the faults stop, everything is given time to
//! come to rest, and then [`audit`] says what is not as it should be. [`place`] watches each write on the way.

pub mod audit;
pub mod builder;
pub mod deployer;
pub mod drain;
pub mod fleet;
pub mod forge;
pub mod holder;
pub mod people;
pub mod place;
pub mod receiver;
pub mod seed;
pub mod wire;
pub mod world;
