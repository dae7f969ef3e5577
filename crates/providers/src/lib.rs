//! Providers: one file per vendor, pure translation between core's words and that vendor's messages.
