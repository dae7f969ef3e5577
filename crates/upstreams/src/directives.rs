//! How to ask an emulated vendor for a bad day.
//!
//! # Directives
//!
//! Each job carries its own bad day in its prompt, so that it goes through whatever lies in between. A directive is
//! a word `#fault=NAME`; several may stand in one prompt, and one that is not known here is refused with 400.
//!
//! `STATUS` is a status of trouble, 400 to 599. Faults of a call may end with `-retry-after=SECONDS` where they
//! have a `STATUS`, and then with `-once` or `-times=N`; without a count they are met always. Faults of the same
//! call are met one after the other, in the order they stand in: `#fault=poll-ok-times=2 #fault=poll-503-once` is
//! about the third poll. The calls of a create are counted by prompt, all others by job.
//!
//! | create | no job is made |
//! | --- | --- |
//! | `drop-before-accept` | the connection is cut, without an answer |
//! | `submit-STATUS` | refused |
//! | `submit-400-moderation` | refused for what the prompt says |
//! | `submit-quota` | refused because the account has used up what it may, with the vendor's own status |
//! | `answer-200-error` | refused, with 200 |
//!
//! | create | a job is made |
//! | --- | --- |
//! | `drop-after-accept` | the connection is cut, without an answer |
//! | `answer-STATUS` | the answer is an error all the same |
//! | `answer-empty` | 200 and no body |
//! | `answer-truncated-json` | the first half of the answer |
//! | `answer-html` | 200 and a page for people |
//! | `answer-stall` | no answer until it is released |
//! | `answer-huge` | JSON of 256 MiB |
//! | `answer-slow` | all of it, a few bytes at a time |
//! | `slow-submit=SECONDS` | the answer comes so late; goes together with the others |
//! | `submit-ok` | nothing is wrong this time |
//!
//! | poll | |
//! | --- | --- |
//! | `poll-STATUS` | an error; `poll-404` as of a server that does not know the job |
//! | `drop-poll` `empty-poll` `malformed-poll` `html-poll` `poll-200-error` `poll-stall` `huge-poll` `slow-poll` | as above |
//! | `unknown-status` | a status that no client can know |
//! | `poll-ok` | nothing is wrong this time |
//!
//! | content | of a job that completed |
//! | --- | --- |
//! | `content-STATUS` | an error |
//! | `drop-content` `empty-content` `content-stall` `slow-content` | as above |
//! | `content-redirect` | 302 to the same address; with `-once` the file is there then |
//! | `content-redirect-inward` | 302 to an address at which clouds keep their machines' secrets |
//! | `content-stall-halfway` | half the bytes, the rest when it is released |
//! | `not-a-video` | a page for people, with 200 |
//! | `not-a-video-lying` | the same, called `video/mp4` |
//! | `short-file-honest` | half the bytes, and a `Content-Length` that says so |
//! | `short-file-lying` | half the bytes, the `Content-Length` of all, and the connection is cut |
//! | `short-chunked` | half the bytes without a length, and the connection is cut |
//! | `content-ok` | nothing is wrong this time |
//!
//! Vertex AI's videos inside an answer know `empty-content`, `not-a-video` and `short-file-honest` alone; others are refused.
//!
//! | delete | |
//! | --- | --- |
//! | `delete-STATUS` | refused; `delete-409-once` as of a server that is still stopping the work |
//! | `drop-delete` `empty-delete` `delete-stall` | as above; it is deleted |
//! | `delete-ok` | nothing is wrong this time |
//!
//! | the job | takes no count |
//! | --- | --- |
//! | `queue=SECONDS` `render=SECONDS` | how long it waits and takes |
//! | `fail` `fail-STATUS` `fail-moderation` | it fails at its end; vLLM-Omni answers polls with that status |
//! | `filtered=N` | N of its outputs are kept back by a filter; of vendors that tell so: Vertex AI |
//! | `stuck` | it never ends |
//! | `lost` | the server forgets it at once, as by a restart |
//! | `progress-backwards` | each poll tells less than the one before |
//!
//! # The emulator's own routes
//!
//! | route | |
//! | --- | --- |
//! | `GET /_emulator/counts` | [`Counts`](crate::Counts); with `?prompt=`, [`PromptCounts`](crate::PromptCounts) |
//! | `GET /_emulator/jobs` | every [`JobRecord`](crate::JobRecord) in the order of acceptance, forgotten ones too; `?prompt=` |
//! | `POST /_emulator/restart` | the server forgets all jobs |
//! | `GET` `POST` `DELETE /_emulator/faults` | `{"directives": ["poll-503"]}`: faults for everybody, met in place of a job's own; counted over all calls |
//! | `POST /_emulator/release` | whatever is stalled goes on |
//! | `POST /_emulator/clock` | `{"advance_seconds": 60}`: time passes |
//!
//! Vertex AI's has two more:
//!
//! | route | |
//! | --- | --- |
//! | `GET /_emulator/tokens` | `{"issued": 2, "good": 1}`: tokens given so far, and those that are taken still |
//! | `DELETE /_emulator/tokens` | tokens given so far are taken no more, as if their hour had passed |
