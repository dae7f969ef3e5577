//! Funds: what operators put in, what jobs take out, and that nobody spends what is not there.

use serde_json::{Value, json};

use crate::gate::{Answer, Gate, id_of};
use crate::order::Order;

/// What the provider charges for a second, and each order here is a second.
const SECOND: i64 = 10_000_000;

const PREPAID: &str = "[billing]\nmode = \"prepaid\"";

async fn credit(gate: &Gate, amount: Value, reason: &str) -> Answer {
    gate.post("/v1/credits")
        .json(&json!({"amount": amount, "reason": reason}))
        .send()
        .await
}

async fn order(gate: &Gate, order: &Order) -> Answer {
    gate.post("/v1/videos").json(order.body()).send().await
}

/// Available and held.
async fn funds(gate: &Gate) -> (i64, i64) {
    let credits = gate.get("/v1/credits").send().await.expect(200).json();
    let number = |name: &str| credits[name].as_i64().unwrap();
    let (available, held) = (number("available_nanos"), number("reserved_nanos"));
    assert_eq!(number("balance_nanos"), available + held);
    (available, held)
}

/// Every posting of the workspace, page by page, oldest first.
pub(crate) async fn postings(gate: &Gate) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let after = all.last().map_or(String::new(), |last: &Value| {
            format!("&after={}", last["number"])
        });
        let page = gate
            .get(&format!("/v1/credits/entries?limit=7{after}"))
            .send()
            .await;
        let page = page.expect(200).json();
        all.extend(page["data"].as_array().unwrap().iter().cloned());
        if page["has_more"] == false {
            break;
        }
    }
    all.reverse();
    all
}

/// The sum of all entries on `account`.
pub(crate) fn sum_on(postings: &[Value], account: &str) -> i64 {
    postings
        .iter()
        .flat_map(|posting| posting["entries"].as_array().unwrap())
        .filter(|entry| entry["account"] == account)
        .map(|entry| entry["amount_nanos"].as_i64().unwrap())
        .sum()
}

#[tokio::test]
async fn of_a_hundred_at_once_as_many_are_admitted_as_there_are_funds_for() {
    let gate = Gate::configured(PREPAID).await;
    credit(&gate, json!("0.50"), "for fifty").await.expect(201);
    let one = Order::of("one of a hundred").endless();
    let answers = futures::future::join_all((0..100).map(|_| order(&gate, &one))).await;
    let (admitted, refused): (Vec<_>, Vec<_>) =
        answers.iter().partition(|answer| answer.status == 202);
    assert_eq!((admitted.len(), refused.len()), (50, 50));
    for answer in refused {
        answer.refused(402, "insufficient_funds");
    }
    assert_eq!(funds(&gate).await, (0, 50 * SECOND));
    assert_eq!(gate.video_count().await, 50);
    let postings = postings(&gate).await;
    assert_eq!(postings.len(), 51);
    for account in ["ws:available", "ws:held", "external:funding"] {
        let expected = match account {
            "ws:available" => 0,
            "ws:held" => 50 * SECOND,
            _ => -50 * SECOND,
        };
        assert_eq!(sum_on(&postings, account), expected, "{account}");
    }
    // One more comes in when one goes out.
    gate.cancel(id_of(&admitted[0].json())).await;
    gate.wait_settled(id_of(&admitted[0].json())).await;
    order(&gate, &one).await.expect(202);
    order(&gate, &one).await.refused(402, "insufficient_funds");
    let audit = gate.stop().await.doctor().await;
    let faults = (
        audit.unbalanced,
        audit.balances_wrong,
        audit.standings_wrong,
    );
    assert_eq!((audit.holds_open, faults), (50, (0, 0, 0)));
}

#[tokio::test]
async fn a_credit_is_posted_once_under_one_key_and_stands_in_ledger_and_log() {
    let gate = Gate::configured(PREPAID).await;
    let post = |amount: Value| {
        gate.post("/v1/credits")
            .header("idempotency-key", "invoice-7")
            .json(&json!({"amount": amount, "reason": "invoice 7"}))
            .send()
    };
    let first = post(json!("12.345678901")).await.expect(201);
    assert_eq!(first.find_header("idempotent-replayed"), None);
    let (entry, balance) = (&first.json()["entry"], &first.json()["balance_nanos"]);
    assert_eq!(
        (&entry["kind"], &entry["reason"], balance),
        (
            &json!("top_up"),
            &json!("invoice 7"),
            &json!(12_345_678_901_i64)
        )
    );
    let again = post(json!("12.345678901")).await.expect(201);
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.json(), first.json());
    let other = post(json!("12.345678902")).await;
    other.refused(409, "idempotency_conflict");
    assert_eq!(other.header("x-should-retry"), "false");
    let taken = credit(&gate, json!(-20), "a mistake")
        .await
        .expect(201)
        .json();
    assert_eq!(
        (&taken["entry"]["kind"], &taken["available_nanos"]),
        (&json!("adjustment"), &json!(-7_654_321_099_i64))
    );
    // Killed and started again, it is all still there.
    let gate = gate.kill().await.start().await;
    let replayed = gate
        .post("/v1/credits")
        .header("idempotency-key", "invoice-7")
        .json(&json!({"amount": "12.345678901", "reason": "invoice 7"}))
        .send()
        .await
        .expect(201);
    assert_eq!(replayed.json()["entry"], first.json()["entry"]);
    assert_eq!(funds(&gate).await, (-7_654_321_099, 0));
    let postings = postings(&gate).await;
    let kinds: Vec<_> = postings.iter().map(|posting| &posting["kind"]).collect();
    assert_eq!(kinds, ["top_up", "adjustment"]);
    let log = gate
        .get("/v1/admin/actions")
        .send()
        .await
        .expect(200)
        .json();
    let credits: Vec<_> = log["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|action| action["action"] == "credits.posted")
        .map(|action| (&action["detail"]["amount"], action["object_id"].clone()))
        .collect();
    let number = |posting: &Value| json!(posting["number"].to_string());
    assert_eq!(
        credits,
        [
            (&json!("-20.00"), number(&postings[1])),
            (&json!("12.345678901"), number(&postings[0]))
        ]
    );
}

#[tokio::test]
async fn what_goes_beyond_the_hold_may_go_below_zero_and_then_nothing_fits() {
    let gate = Gate::configured(PREPAID).await;
    credit(&gate, json!(0.02), "for two").await.expect(201);
    let dear = Order::of("dear").simulate(json!({"billed_seconds": 5}));
    let made = order(&gate, &dear).await.expect(202).json();
    gate.wait_terminal(id_of(&made)).await;
    assert_eq!(funds(&gate).await, (-3 * SECOND, 0));
    order(&gate, &Order::of("another"))
        .await
        .refused(402, "insufficient_funds");
    credit(&gate, json!("0.039999999"), "not enough")
        .await
        .expect(201);
    order(&gate, &Order::of("another"))
        .await
        .refused(402, "insufficient_funds");
    credit(&gate, json!("0.000000001"), "a nano more")
        .await
        .expect(201);
    let made = order(&gate, &Order::of("another")).await.expect(202).json();
    gate.wait_terminal(id_of(&made)).await;
    assert_eq!(funds(&gate).await, (0, 0));
    gate.stop().await.doctor().await.is_closed_and_balanced();
}

#[tokio::test]
async fn a_hold_includes_the_markup_and_a_nano_less_is_not_enough() {
    let gate = Gate::configured("[billing]\nmode = \"prepaid\"\nmarkup_basis_points = 3333").await;
    credit(&gate, json!("0.013332999"), "a nano less")
        .await
        .expect(201);
    order(&gate, &Order::of("one"))
        .await
        .refused(402, "insufficient_funds");
    credit(&gate, json!("0.000000001"), "the nano")
        .await
        .expect(201);
    order(&gate, &Order::of("one").endless()).await.expect(202);
    assert_eq!(funds(&gate).await, (0, 13_333_000));
}

#[tokio::test]
async fn a_credit_that_makes_no_sense_is_refused_by_the_field_and_posts_nothing() {
    let gate = Gate::configured(PREPAID).await;
    for (body, field) in [
        (json!({"reason": "x"}), "amount"),
        (json!({"amount": 0, "reason": "x"}), "amount"),
        (json!({"amount": "1e3", "reason": "x"}), "amount"),
        (json!({"amount": "10000000.01", "reason": "x"}), "amount"),
        (json!({"amount": true, "reason": "x"}), "amount"),
        (json!({"amount": 0.0000000001, "reason": "x"}), "amount"),
        (json!({"amount": 1}), "reason"),
        (json!({"amount": 1, "reason": ""}), "reason"),
        (json!({"amount": 1, "reason": "x".repeat(513)}), "reason"),
        (
            json!({"amount": 1, "reason": "x", "workspace_id": "mine"}),
            "workspace_id",
        ),
        (json!({"amount": 1, "reason": "x", "to": "me"}), "to"),
    ] {
        let answer = gate.post("/v1/credits").json(&body).send().await;
        answer.refused_field("validation_error", field);
    }
    let nobodys = format!("ws_{}", "0".repeat(26));
    let body = json!({"amount": 1, "reason": "x", "workspace_id": nobodys});
    let answer = gate.post("/v1/credits").json(&body).send().await;
    answer.refused(404, "not_found");
    assert_eq!(postings(&gate).await, Vec::<Value>::new());
}
