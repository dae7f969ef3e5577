//! Money, in integer nano-dollars: what is held, charged and given back at each end a job can take.
//!
//! The price of the built-in model is a cent a second. After each road the gateway is stopped, `doctor` recounts the
//! books, and the balances are read from the ledger.

use std::sync::Arc;

use filmgate_store::Store;
use filmgate_store::sqlite::{Config, SqliteStore};
use serde_json::{Value, json};

use crate::gate::{Gate, Home, id_of};
use crate::order::Order;

/// What the provider charges for a second.
const SECOND: i64 = 10_000_000;

/// Cost plus a quarter.
const MARKUP: &str = "[billing]\nmarkup_basis_points = 2500";

/// What a settled job left behind.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    state: String,
    reason: String,
    reservation: String,
    total: i64,
    provider: String,
    /// Available to the workspace afterwards; it began with nothing.
    available: i64,
}

/// Stops the gateway, has the books recounted, and tells what this one job has left in them.
async fn left(gate: Gate, settled: &Value) -> Left {
    let home = gate.stop().await;
    let audit = home.doctor().await;
    audit.is_closed_and_balanced();
    assert_eq!((audit.jobs, audit.under_way), (1, 0), "{audit:?}");
    let (available, held) = balances(&home).await;
    assert_eq!(held, 0, "money stays held");
    let billing = &settled["billing"];
    let text = |field: &str| billing[field].as_str().unwrap().to_owned();
    Left {
        state: text("state"),
        reason: text("charge_reason"),
        reservation: text("reservation_status"),
        total: billing["total_nanos"].as_i64().unwrap(),
        provider: billing["settled_provider_cost"]
            .as_str()
            .unwrap_or("unknown")
            .to_owned(),
        available,
    }
}

/// The sums of all workspaces: available and held.
async fn balances(home: &Home) -> (i64, i64) {
    let store = SqliteStore::open(Config::at(home.data().join("filmgate.db"))).unwrap();
    let store: Arc<dyn Store> = Arc::new(store);
    let mut sums = (0, 0);
    for workspace in store.workspaces().await.unwrap() {
        let balances = store.balances(workspace.id).await.unwrap();
        sums = (sums.0 + balances.available.0, sums.1 + balances.held.0);
    }
    store.close().await;
    sums
}

#[tokio::test]
async fn a_completed_video_costs_what_was_delivered() {
    let gate = Gate::configured(MARKUP).await;
    let made = gate
        .create(
            &Order::of("paid for")
                .with("duration", 2)
                .simulate(json!({"render_seconds": 0.5})),
        )
        .await;
    let held = &made["billing"];
    assert_eq!(
        (&held["state"], &held["reserved_nanos"]),
        (&json!("estimated"), &json!(SECOND * 2 * 5 / 4))
    );
    assert_eq!(
        (
            &held["estimated_provider_cost"],
            &held["estimated_user_cost"]
        ),
        (&json!("0.02"), &json!("0.025"))
    );
    let path = format!("/v1/videos/{}?wait=60", id_of(&made));
    let answer = gate.get(&path).send().await.expect(200);
    assert!(
        answer.text().contains(r#""cost":0.025,"#),
        "the cost is not printed from the integer: {}",
        answer.text()
    );
    let left = left(gate, &answer.json()).await;
    let expected = Left {
        state: "settled".to_owned(),
        reason: "completed".to_owned(),
        reservation: "captured".to_owned(),
        total: SECOND * 2 * 5 / 4,
        provider: "0.02".to_owned(),
        available: -SECOND * 2 * 5 / 4,
    };
    assert_eq!(left, expected);
}

#[tokio::test]
async fn each_sample_is_paid_for() {
    let gate = Gate::configured(MARKUP).await;
    let done = gate
        .completed(&Order::of("three").with("sample_count", 3))
        .await;
    assert_eq!(done["usage"]["seconds"], 3.0);
    assert_eq!(left(gate, &done).await.total, SECOND * 3 * 5 / 4);
}

#[tokio::test]
async fn a_markup_that_does_not_come_out_even_is_rounded_up_to_hold_and_half_up_to_charge() {
    // 10 000 000 nano-dollars and 0.33 basis points cannot be had; 1 basis point of a second is 1000 nanos exactly,
    // so the odd nano comes from a measured fraction of a second.
    let gate = Gate::configured("[billing]\nmarkup_basis_points = 3333").await;
    let done = gate
        .completed(&Order::of("odd").simulate(json!({"billed_seconds": 0.777})))
        .await;
    assert_eq!(done["billing"]["estimated_nanos"], 13_333_000);
    // 7 770 000 × 1.3333 = 10 359 741.
    assert_eq!(left(gate, &done).await.total, 10_359_741);
}

#[tokio::test]
async fn a_failed_video_costs_nothing() {
    let gate = Gate::configured(MARKUP).await;
    let failed = gate
        .run_to_end(&Order::of("fails").simulate(json!({"fail": "provider_error"})))
        .await;
    let expected = Left {
        state: "void".to_owned(),
        reason: "released".to_owned(),
        reservation: "released".to_owned(),
        total: 0,
        provider: "0.00".to_owned(),
        available: 0,
    };
    assert_eq!(left(gate, &failed).await, expected);
}

#[tokio::test]
async fn a_failure_the_provider_bills_is_charged_at_most_the_hold() {
    let gate = Gate::configured(MARKUP).await;
    let order = Order::of("fails dearly")
        .simulate(json!({"fail": "content_moderated", "fail_billed": true, "billed_seconds": 9}));
    let failed = gate.run_to_end(&order).await;
    let left = left(gate, &failed).await;
    assert_eq!(
        (left.reason.as_str(), left.reservation.as_str()),
        ("failed_billed", "captured")
    );
    assert_eq!(
        (left.total, left.available),
        (SECOND * 5 / 4, -SECOND * 5 / 4),
        "{left:?}"
    );
}

#[tokio::test]
async fn what_a_provider_bills_for_a_failure_can_be_the_operators_to_bear() {
    let gate =
        Gate::configured("[billing]\nmarkup_basis_points = 2500\nabandoned = \"operator\"").await;
    let order = Order::of("fails dearly")
        .simulate(json!({"fail": "content_moderated", "fail_billed": true}));
    let failed = gate.run_to_end(&order).await;
    let left = left(gate, &failed).await;
    assert_eq!(
        (left.total, left.available, left.reservation.as_str()),
        (0, 0, "released")
    );
    assert_ne!(
        left.provider, "0.00",
        "the provider's cost is booked all the same"
    );
}

#[tokio::test]
async fn a_cancel_the_provider_does_not_bill_costs_nothing() {
    let gate = Gate::configured(MARKUP).await;
    let made = gate.create(&Order::of("cancelled").endless()).await;
    gate.wait_processing(id_of(&made)).await;
    let cancelled = gate.cancel(id_of(&made)).await;
    assert!(
        ["pending", "void"]
            .iter()
            .any(|state| cancelled["billing"]["state"] == *state),
        "{cancelled:#}"
    );
    let settled = gate.wait_settled(id_of(&made)).await;
    let left = left(gate, &settled).await;
    assert_eq!(
        (left.state.as_str(), left.reason.as_str()),
        ("void", "released")
    );
    assert_eq!((left.total, left.available), (0, 0));
}

#[tokio::test]
async fn a_cancel_before_anybody_took_it_on_costs_nothing() {
    let gate = Gate::configured(MARKUP).await;
    // The submit is under way: whether the provider takes it on is learnt after the cancel.
    let made = gate
        .create(
            &Order::of("too early")
                .simulate(json!({"submit_seconds": 0.5, "render_seconds": 3600})),
        )
        .await;
    let cancelled = gate.cancel(id_of(&made)).await;
    assert_eq!(cancelled["status"], "cancelled");
    let settled = gate.wait_settled(id_of(&made)).await;
    let left = left(gate, &settled).await;
    assert_eq!(
        (left.state.as_str(), left.total, left.available),
        ("void", 0, 0)
    );
}

#[tokio::test]
async fn a_cancel_the_provider_bills_is_charged_at_most_the_hold() {
    let gate = Gate::configured(MARKUP).await;
    let order = Order::of("cancelled dearly")
        .simulate(json!({"render_seconds": 3600, "cancel": "billed", "billed_seconds": 0.5}));
    let made = gate.create(&order).await;
    gate.wait_processing(id_of(&made)).await;
    gate.cancel(id_of(&made)).await;
    let settled = gate.wait_settled(id_of(&made)).await;
    assert_eq!(settled["status"], "cancelled");
    let expected = Left {
        state: "settled".to_owned(),
        reason: "cancelled_billed".to_owned(),
        reservation: "captured".to_owned(),
        total: SECOND / 2 * 5 / 4,
        provider: "0.005".to_owned(),
        available: -SECOND / 2 * 5 / 4,
    };
    assert_eq!(left(gate, &settled).await, expected);
}

#[tokio::test]
async fn what_a_provider_bills_for_a_cancel_beyond_the_hold_is_not_the_users() {
    let gate = Gate::configured(MARKUP).await;
    let day = json!({"render_seconds": 3600, "cancel": "billed", "billed_seconds": 9});
    let made = gate
        .create(&Order::of("cancelled very dearly").simulate(day))
        .await;
    gate.wait_processing(id_of(&made)).await;
    gate.cancel(id_of(&made)).await;
    let settled = gate.wait_settled(id_of(&made)).await;
    let left = left(gate, &settled).await;
    assert_eq!(
        (left.total, left.available),
        (SECOND * 5 / 4, -SECOND * 5 / 4)
    );
    assert_eq!(left.provider, "0.09");
}

#[tokio::test]
async fn a_cancel_that_comes_too_late_is_charged_when_the_provider_is_done() {
    let gate = Gate::configured(MARKUP).await;
    for how in ["too_late", "unsupported"] {
        let order = Order::of(how).simulate(json!({"render_seconds": 0.5, "cancel": how}));
        let made = gate.create(&order).await;
        gate.wait_processing(id_of(&made)).await;
        let cancelled = gate.cancel(id_of(&made)).await;
        assert_eq!(
            (&cancelled["status"], &cancelled["usage"]["cost"]),
            (&json!("cancelled"), &Value::Null)
        );
        let settled = gate.wait_settled(id_of(&made)).await;
        assert_eq!(
            (&settled["status"], &settled["outputs"]),
            (&json!("cancelled"), &json!([]))
        );
        assert_eq!(settled["billing"]["charge_reason"], "cancelled_billed");
        assert_eq!(settled["billing"]["total_nanos"], SECOND * 5 / 4);
    }
    let home = gate.stop().await;
    home.doctor().await.is_closed_and_balanced();
    assert_eq!(balances(&home).await, (-SECOND * 5 / 2, 0));
}

#[tokio::test]
async fn an_output_that_is_no_video_is_the_operators_loss() {
    let gate = Gate::configured(MARKUP).await;
    let failed = gate
        .run_to_end(&Order::of("torn").simulate(json!({"corrupt_output": true})))
        .await;
    let expected = Left {
        state: "void".to_owned(),
        reason: "released".to_owned(),
        reservation: "released".to_owned(),
        total: 0,
        provider: "0.01".to_owned(),
        available: 0,
    };
    assert_eq!(left(gate, &failed).await, expected);
}

#[tokio::test]
async fn a_lost_answer_ends_the_job_and_charges_nothing() {
    let gate = Gate::configured(MARKUP).await;
    let failed = gate
        .run_to_end(&Order::of("lost").simulate(json!({"ambiguous_submit": true})))
        .await;
    assert_eq!(failed["error"]["code"], "submission_ambiguous");
    assert_eq!(
        (&failed["attempts"], &failed["started_at"]),
        (&json!(1), &Value::Null)
    );
    assert_eq!(failed["billing"]["provider_may_have_charged"], true);
    assert_eq!(failed["billing"]["state"], "void", "released at once");
    let left = left(gate, &failed).await;
    assert_eq!(
        (left.total, left.available, left.reservation.as_str()),
        (0, 0, "released")
    );
}

#[tokio::test]
async fn usage_beyond_the_hold_is_charged_as_an_overage() {
    let gate = Gate::configured(MARKUP).await;
    let done = gate
        .completed(&Order::of("dear").simulate(json!({"billed_seconds": 5})))
        .await;
    assert_eq!(done["billing"]["estimated_nanos"], SECOND * 5 / 4);
    let left = left(gate, &done).await;
    assert_eq!(
        (left.total, left.available),
        (SECOND * 5 * 5 / 4, -SECOND * 5 * 5 / 4)
    );
    assert_eq!(left.provider, "0.05");
}

#[tokio::test]
async fn usage_below_the_hold_gives_the_rest_back() {
    let gate = Gate::configured(MARKUP).await;
    let done = gate
        .completed(
            &Order::of("cheap")
                .with("duration", 3)
                .simulate(json!({"billed_seconds": 1})),
        )
        .await;
    let left = left(gate, &done).await;
    assert_eq!(
        (left.total, left.available),
        (SECOND * 5 / 4, -SECOND * 5 / 4)
    );
}

#[tokio::test]
async fn max_cost_refuses_what_would_hold_more_and_caps_what_is_charged() {
    let gate = Gate::configured(MARKUP).await;
    for limit in [json!("0.012499999"), json!(0.0124), json!(0)] {
        let order = Order::of("too dear").with("max_cost", limit.clone());
        let refused = gate
            .post("/v1/videos")
            .json(order.body())
            .send()
            .await
            .refused(402, "max_cost_exceeded");
        assert_eq!(
            refused["details"][0]["path"], "max_cost",
            "{limit}: {refused:#}"
        );
    }
    assert_eq!(gate.video_count().await, 0);
    let order = Order::of("capped")
        .with("max_cost", "0.0125")
        .simulate(json!({"billed_seconds": 20}));
    let done = gate.completed(&order).await;
    let left = left(gate, &done).await;
    assert_eq!(
        (left.total, left.available),
        (SECOND * 5 / 4, -SECOND * 5 / 4)
    );
    assert_eq!(left.provider, "0.20", "the operator bears the rest");
}

#[tokio::test]
async fn without_funds_a_prepaid_workspace_orders_nothing() {
    let gate = Gate::configured("[billing]\nmode = \"prepaid\"").await;
    let refused = gate
        .post("/v1/videos")
        .json(Order::of("on credit").body())
        .send()
        .await;
    refused.refused(402, "insufficient_funds");
    assert_eq!(gate.video_count().await, 0);
    let home = gate.stop().await;
    let audit = home.doctor().await;
    audit.is_closed_and_balanced();
    assert_eq!((audit.jobs, audit.postings), (0, 0));
}

#[tokio::test]
async fn cancels_that_race_with_the_end_close_each_hold_once() {
    let gate = Gate::configured(MARKUP).await;
    let races = (0..12).map(async |number: u32| {
        let day = json!({"render_seconds": f64::from(number) * 0.02, "cancel": "too_late"});
        let made = gate.create(&Order::of("a race").simulate(day)).await;
        let path = format!("/v1/videos/{}/cancel", id_of(&made));
        let cancels = (0..3).map(|_| gate.post(&path).send());
        let cancels = futures::future::join_all(cancels).await;
        let settled = gate.wait_settled(id_of(&made)).await;
        for cancel in cancels {
            // Whoever was told that it is cancelled was told the truth.
            let won = settled["status"] == "cancelled";
            assert_eq!(
                cancel.status,
                if won { 200 } else { 400 },
                "{}",
                cancel.text()
            );
        }
        settled["billing"]["total_nanos"].as_i64().unwrap()
    });
    let charged: i64 = futures::future::join_all(races).await.into_iter().sum();
    let home = gate.stop().await;
    home.doctor().await.is_closed_and_balanced();
    assert_eq!(balances(&home).await, (-charged, 0));
}

#[tokio::test]
async fn every_end_at_once_still_adds_up() {
    let gate = Gate::configured(MARKUP).await;
    let days = [
        json!({}),
        json!({"fail": "provider_timeout"}),
        json!({"fail": "content_moderated", "fail_billed": true}),
        json!({"corrupt_output": true}),
        json!({"ambiguous_submit": true}),
        json!({"billed_seconds": 3}),
        json!({"render_seconds": 3600}),
        json!({"render_seconds": 3600, "cancel": "billed"}),
    ];
    let runs = days.iter().map(|day| {
        let gate = &gate;
        async move {
            let made = gate
                .create(&Order::of("at once").simulate(day.clone()))
                .await;
            if day["render_seconds"] == 3600 {
                gate.cancel(id_of(&made)).await;
            } else {
                gate.wait_terminal(id_of(&made)).await;
            }
            gate.wait_settled(id_of(&made)).await["billing"]["total_nanos"]
                .as_i64()
                .unwrap()
        }
    });
    let charged: i64 = futures::future::join_all(runs).await.into_iter().sum();
    let home = gate.stop().await;
    home.doctor().await.is_closed_and_balanced();
    assert_eq!(balances(&home).await, (-charged, 0));
}
