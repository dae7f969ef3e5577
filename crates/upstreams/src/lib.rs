//! Emulated vendors, one per file, able to misbehave: for tests, `filmgate dev upstream` and the bench.
