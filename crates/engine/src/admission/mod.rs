//! Admission: from a request to a durable job, or a refusal that costs nothing and leaves nothing behind.
//!
//! Validation, routing, price and hold all happen before any provider is called. What is stored (inputs
//! first, then the job with its hold and its idempotency key in one transaction) is stored before the
//! client hears of it.
//!
//! Not here: reading a request from JSON (`api`), what a model can do (`catalogue`).

mod in_flight;
mod inputs;
mod plan;

pub(crate) use in_flight::InFlight;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use filmgate_core::calendar::Day;
use filmgate_core::id::{GenerationId, HoldId, KeyId, VideoId, WorkspaceId};
use filmgate_core::job::{self, Admission, HoldTerms, Job, Mode};
use filmgate_core::key::KeyRefusal;
use filmgate_core::money::Nanos;
use filmgate_core::pricing::PriceLine;
use filmgate_core::repeat::RetryCount;
use filmgate_core::request::{ModelId, ProviderName, Refusal, Request};
use filmgate_core::routing::Dropped;
use filmgate_store::{Binding, Bound, Created, Fingerprint, Found, Funds, NewJob, StoreError};
use sha2::{Digest, Sha256};

use self::in_flight::{Company, Name};
use crate::answers::OpenAnswer;
use crate::operator::BINDING_LIFE;
use crate::{Engine, entropy};

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    pub key: KeyId,
    pub workspace: WorkspaceId,
}

/// What is asked for: the request, and where `request.inputs` are, in their order.
#[derive(Debug, Clone)]
pub struct Ask {
    pub request: Request,
    pub inputs: Vec<Given>,
    pub retried_from: Option<VideoId>,
}

impl Ask {
    /// Whether some input is to be fetched.
    fn is_to_be_fetched(&self) -> bool {
        let mut inputs = self.inputs.iter();
        inputs.any(|given| matches!(given, Given::Elsewhere))
    }
}

/// Where an input's bytes are.
#[derive(Debug, Clone)]
pub enum Given {
    Bytes(Bytes),
    /// At the address that stands in the request: to be fetched.
    Elsewhere,
}

/// Where a request came from.
#[derive(Debug, Clone)]
pub struct Provenance {
    pub request_id: String,
    /// Scheme, host and port under which the client reached us.
    pub origin: String,
    /// The dialect's name of the route, such as `videos.create`.
    pub route: &'static str,
    pub idempotency_key: Option<String>,
    /// How often the client says it has sent this before.
    pub retry: RetryCount,
}

/// A job that was asked for.
#[derive(Debug)]
pub struct Admitted {
    pub job: Job,
    pub how: How,
    /// Of a request without an idempotency key: to be told whether its answer reached the client.
    pub answer: Option<OpenAnswer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    New,
    /// The idempotency key made this job before.
    Replayed,
    /// The same request made this job before, and its client was never heard to know of it.
    Repeated,
}

/// What a request would cost, and who would run it.
#[derive(Debug, Clone, PartialEq)]
pub struct Quotation {
    /// The user's charge by the head of the route; `None` for an unpriced model.
    pub quote: Option<Nanos>,
    pub hold: Option<Nanos>,
    pub lines: Vec<PriceLine>,
    pub route: Vec<ProviderName>,
    pub dropped: Vec<Dropped>,
}

/// Why a request is not admitted. Nothing was stored and nothing is owed.
#[derive(Debug, thiserror::Error)]
pub enum AdmitError {
    #[error("there is no model {sent}")]
    UnknownModel {
        sent: ModelId,
        nearest: Option<ModelId>,
    },
    #[error("{model} has been retired")]
    Retired {
        model: ModelId,
        /// The day its maker stopped it.
        since: Option<Day>,
        nearest: Option<ModelId>,
    },
    #[error("{model} does not take this request")]
    Refused {
        model: ModelId,
        refusals: Vec<Refusal>,
        /// Another model that takes the request as it is.
        nearest: Option<ModelId>,
    },
    #[error("no provider of {model} can run this request")]
    NoProvider {
        model: ModelId,
        dropped: Vec<Dropped>,
    },
    #[error("every provider would cost more than max_cost")]
    MaxCostExceeded {
        max_cost: Nanos,
        lowest_hold: Option<Nanos>,
    },
    #[error("this key has as many jobs under way as it may: {most}")]
    KeyInFlight { most: u32 },
    #[error(
        "{used} of the {limit} USD this key may spend are held or spent, and this would hold {hold}"
    )]
    KeyLimitExceeded {
        limit: Nanos,
        used: Nanos,
        hold: Nanos,
        /// Until the limit begins anew; `None` where it never does.
        resets_in: Option<Duration>,
    },
    #[error("the available funds do not cover the hold of {hold} USD")]
    InsufficientFunds { hold: Nanos },
    #[error("the idempotency key was used with another body")]
    IdempotencyConflict,
    #[error("a request with the same idempotency key is still being admitted")]
    IdempotencyInFlight,
    #[error("the request this one repeats is still being admitted")]
    RepeatInFlight,
    #[error("the idempotency key made a video that was deleted since")]
    ReplayDeleted,
    #[error("an input cannot be taken")]
    InputsRefused { refusals: Vec<Refusal> },
    #[error("an input could not be stored")]
    Input(#[source] filmgate_assets::put::PutError),
    #[error("an input could not be received")]
    Spool(#[source] filmgate_assets::spool::SpoolError),
    #[error("the job store failed")]
    Store(#[from] StoreError),
}

impl Engine {
    /// What `request` would cost. Spends nothing, binds nothing, fetches nothing.
    pub async fn quote(
        &self,
        workspace: WorkspaceId,
        request: &Request,
    ) -> Result<Quotation, AdmitError> {
        self.0.judge_addresses(request)?;
        let own = self.own_accounts(workspace).await?;
        let plan = self.0.plan(request, &own)?;
        Ok(Quotation {
            quote: plan.quoted.map(|quoted| quoted.user_charge),
            hold: plan.hold,
            lines: plan.lines,
            route: plan
                .route
                .into_iter()
                .map(|candidate| candidate.provider)
                .collect(),
            dropped: plan.dropped,
        })
    }

    /// Admits a request. Runs to its end even when nobody waits for the answer any more.
    pub async fn create(
        &self,
        caller: Caller,
        ask: Ask,
        from: Provenance,
    ) -> Result<Admitted, AdmitError> {
        let engine = self.clone();
        let admitted = self
            .0
            .tasks
            .spawn(async move { engine.admit(caller, ask, from).await });
        admitted
            .await
            .unwrap_or(Err(AdmitError::Store(StoreError::Closed)))
    }

    async fn admit(
        &self,
        caller: Caller,
        ask: Ask,
        from: Provenance,
    ) -> Result<Admitted, AdmitError> {
        let digest = digest(&ask);
        let Some(key) = &from.idempotency_key else {
            return self.admit_unkeyed(caller, ask, &from, digest).await;
        };
        let binding = Binding {
            workspace: caller.workspace,
            route: from.route.to_owned(),
            key: key.clone(),
            digest,
            expires_at: self.now().plus(BINDING_LIFE),
        };
        // Held until the twin's answer is known: the second of two twins finds what the first one made.
        let _turn = self
            .0
            .in_flight
            .enter(Name::of(&binding), Company::Alone)
            .await
            .ok_or(AdmitError::IdempotencyInFlight)?;
        let bound = self
            .0
            .store
            .find_binding(caller.workspace, from.route, key, self.now())
            .await?;
        match bound {
            Some(bound) => self.replay(caller.workspace, bound, digest).await,
            None => {
                self.admit_new(caller, ask, &from, Some(binding), None)
                    .await
            }
        }
    }

    /// Stock clients repeat a failed create and send no key: a repeat is known by its fingerprint.
    async fn admit_unkeyed(
        &self,
        caller: Caller,
        ask: Ask,
        from: &Provenance,
        request: [u8; 32],
    ) -> Result<Admitted, AdmitError> {
        let mut hasher = Sha256::new();
        hasher.update(caller.key.uuid().as_bytes());
        hasher.update(from.route);
        hasher.update(request);
        let fingerprint = Fingerprint {
            digest: hasher.finalize().into(),
            retry: from.retry,
        };
        let company = if from.retry > RetryCount(0) {
            Company::Alone
        } else {
            Company::Beside
        };
        let _turn = self
            .0
            .in_flight
            .enter(Name::Fingerprint(fingerprint.digest), company)
            .await
            .ok_or(AdmitError::RepeatInFlight)?;
        // A repeat needs no file, and must not fail because one is gone. Where nothing is to be fetched the create sees as much.
        if ask.is_to_be_fetched()
            && let Some(video) = self.0.store.take_repeat(fingerprint, self.now()).await?
        {
            return self.repeated(caller.workspace, video).await;
        }
        self.admit_new(caller, ask, from, None, Some(fingerprint))
            .await
    }

    async fn admit_new(
        &self,
        caller: Caller,
        mut ask: Ask,
        from: &Provenance,
        binding: Option<Binding>,
        fingerprint: Option<Fingerprint>,
    ) -> Result<Admitted, AdmitError> {
        self.0.judge_addresses(&ask.request)?;
        let own = self.own_accounts(caller.workspace).await?;
        let first_plan = self.0.plan(&ask.request, &own)?;
        let id = VideoId::mint(self.now(), entropy::draw());
        let has_inputs = !ask.request.inputs.is_empty();
        let plan = if has_inputs {
            let taken = match self.0.take_inputs(caller.workspace, id, &mut ask).await {
                // What they turned out to be may change who takes them, and at what price.
                Ok(()) => self.0.plan(&ask.request, &own),
                Err(error) => Err(error),
            };
            if taken.is_err() {
                self.drop_inputs(caller.workspace, id).await;
            }
            taken?
        } else {
            first_plan
        };
        let now = self.now();
        ask.request.model = plan.model;
        let admission = Admission {
            id,
            workspace: caller.workspace,
            key: caller.key,
            request_id: from.request_id.clone(),
            generation_id: GenerationId::mint(now, entropy::draw()),
            created_at: now,
            origin: from.origin.clone(),
            request: Arc::new(ask.request),
            route: plan.route,
            dropped: plan.dropped,
            terms: plan.terms,
            hold: plan.hold.map(|amount| HoldTerms {
                id: HoldId::mint(now, entropy::draw()),
                amount,
            }),
            quoted: plan.quoted,
            retried_from: ask.retried_from,
        };
        let opening = job::admit(&admission);
        let job = Job {
            admission: Arc::new(admission),
            life: opening.life.clone(),
            version: 1,
            fence: 0,
        };
        let funds = if plan.terms.mode == Mode::Prepaid {
            Funds::Needed
        } else {
            Funds::NotNeeded
        };
        let digest = binding
            .as_ref()
            .map(|binding| binding.digest)
            .unwrap_or_default();
        let created = self
            .0
            .store
            .create_job(NewJob {
                job: job.clone(),
                opening,
                funds,
                binding,
                fingerprint,
            })
            .await;
        if has_inputs && !matches!(created, Ok(Created::New)) {
            self.drop_inputs(caller.workspace, id).await;
        }
        match created? {
            Created::New => {
                tracing::info!(video.id = %id, request.id = %job.admission.request_id, key.id = %caller.key, model = %job.admission.request.model, "video {id} is admitted");
                self.0.bell.ring();
                let answer = fingerprint.map(|_| OpenAnswer::new(&self.0, id));
                Ok(Admitted {
                    job,
                    how: How::New,
                    answer,
                })
            }
            Created::AlreadyBound(bound) => self.replay(caller.workspace, bound, digest).await,
            Created::Repeated(video) => self.repeated(caller.workspace, video).await,
            Created::KeyRefused(KeyRefusal::InFlight { most }) => {
                Err(AdmitError::KeyInFlight { most })
            }
            Created::KeyRefused(KeyRefusal::Limit {
                limit,
                used,
                resets_at,
            }) => Err(AdmitError::KeyLimitExceeded {
                limit,
                used,
                hold: plan.hold.unwrap_or(Nanos::ZERO),
                resets_in: resets_at.map(|at| at.since(now)),
            }),
            Created::InsufficientFunds => Err(AdmitError::InsufficientFunds {
                hold: plan.hold.unwrap_or(Nanos::ZERO),
            }),
        }
    }

    /// The job's answer is open again, and lost if it cannot be given.
    async fn repeated(
        &self,
        workspace: WorkspaceId,
        video: VideoId,
    ) -> Result<Admitted, AdmitError> {
        tracing::info!(video.id = %video, "the request that made video {video} came once more");
        let answer = Some(OpenAnswer::new(&self.0, video));
        Ok(Admitted {
            job: self.made_before(workspace, video).await?,
            how: How::Repeated,
            answer,
        })
    }

    async fn replay(
        &self,
        workspace: WorkspaceId,
        bound: Bound,
        digest: [u8; 32],
    ) -> Result<Admitted, AdmitError> {
        if bound.digest != digest {
            return Err(AdmitError::IdempotencyConflict);
        }
        let id: VideoId = bound
            .object
            .parse()
            .map_err(|_| StoreError::Corrupt(format!("a binding names {}", bound.object)))?;
        Ok(Admitted {
            job: self.made_before(workspace, id).await?,
            how: How::Replayed,
            answer: None,
        })
    }

    /// A job that an earlier request made.
    async fn made_before(&self, workspace: WorkspaceId, id: VideoId) -> Result<Job, AdmitError> {
        match self.0.store.find_job(workspace, id).await? {
            Found::Job(job) => Ok(*job),
            Found::Deleted => Err(AdmitError::ReplayDeleted),
            Found::Absent => Err(AdmitError::Store(StoreError::Corrupt(format!(
                "{id} was made before and is not there"
            )))),
        }
    }

    async fn drop_inputs(&self, workspace: WorkspaceId, id: VideoId) {
        if let Err(error) = self.0.assets.delete_video(workspace, id).await {
            tracing::warn!(%error, "the inputs of a refused request stay until the next sweep");
        }
    }
}

/// What makes two requests the same: everything parsed, inputs by their digests or the addresses they have yet to be
/// fetched from, none of what we add.
fn digest(ask: &Ask) -> [u8; 32] {
    let mut request = ask.request.clone();
    for input in &mut request.inputs {
        input.key = String::new();
    }
    let text = serde_json::to_vec(&(request, ask.retried_from)).expect("a request is plain data");
    Sha256::digest(&text).into()
}
