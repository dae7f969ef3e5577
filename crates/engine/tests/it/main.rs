//! The engine over a real store and real files, with a provider that behaves as each test says and a clock
//! that stands until it is moved.

mod bad_days;
mod house;
mod money;
