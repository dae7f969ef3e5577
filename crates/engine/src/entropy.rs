//! Chance, from the operating system.

use filmgate_core::id::Entropy;

/// Chance for one id.
pub fn draw() -> Entropy {
    let mut bytes = [0; 10];
    fill(&mut bytes);
    bytes
}

/// 256 bits, for a secret.
pub fn secret() -> [u8; 32] {
    let mut bytes = [0; 32];
    fill(&mut bytes);
    bytes
}

pub(crate) fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes)
        .expect("the operating system has entropy; without it nothing here is safe");
}
