//! Usage and activity: equal to the ledger to the nano-dollar, however they are cut.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::gate::{Gate, id_of};
use crate::order::Order;
use crate::prepaid::{postings, sum_on};

/// A gateway on which two keys made videos that were completed, charged beyond their hold, failed and billed, cancelled
/// and billed, lost to the operator, and released.
async fn busy_gate() -> (Gate, [String; 2]) {
    let gate = Gate::configured("[billing]\nmarkup_basis_points = 3333").await;
    let second = gate
        .post("/v1/keys")
        .json(&json!({"name": "second", "role": "member"}))
        .send()
        .await
        .created();
    let text = second["key"].as_str().unwrap();
    let first_id = gate.get("/v1/key").send().await.expect(200).json();
    let days = [
        json!({}),
        json!({"billed_seconds": 0.777}),
        json!({"billed_seconds": 7}),
        json!({"fail": "content_moderated", "fail_billed": true}),
        json!({"fail": "provider_error"}),
        json!({"corrupt_output": true}),
        json!({"ambiguous_submit": true}),
    ];
    for key in [&gate.key, text] {
        for day in &days {
            let order = Order::of("counted").simulate(day.clone());
            let create = gate.post("/v1/videos").key(key).json(order.body());
            let made = create.send().await.expect(202).json();
            gate.wait_terminal(id_of(&made)).await;
            gate.wait_settled(id_of(&made)).await;
        }
        let order = Order::of("given up")
            .simulate(json!({"render_seconds": 3600, "cancel": "billed", "billed_seconds": 0.333}));
        let create = gate.post("/v1/videos").key(key).json(order.body());
        let made = create.send().await.expect(202).json();
        gate.wait_processing(id_of(&made)).await;
        gate.cancel(id_of(&made)).await;
        gate.wait_settled(id_of(&made)).await;
    }
    let ids = [id_of(&first_id).to_owned(), id_of(&second).to_owned()];
    (gate, ids)
}

async fn usage(gate: &Gate, query: &str) -> Value {
    gate.get(&format!("/v1/usage?{query}"))
        .send()
        .await
        .expect(200)
        .json()
}

fn sums(of: &Value) -> (i64, i64) {
    (
        of["user_cost_nanos"].as_i64().unwrap(),
        of["provider_cost_nanos"].as_i64().unwrap(),
    )
}

#[tokio::test]
async fn usage_equals_the_ledger_to_the_nano_however_it_is_cut() {
    let (gate, keys) = busy_gate().await;
    let postings = postings(&gate).await;
    let ledger = (
        sum_on(&postings, "operator:revenue"),
        sum_on(&postings, "operator:provider_cost"),
    );
    assert!(
        ledger.0 > 0 && ledger.1 > 0 && ledger.0 % 1000 != 0,
        "{ledger:?}"
    );
    for query in [
        "",
        "group_by=day",
        "group_by=model",
        "group_by=provider",
        "group_by=key",
        "group_by=workspace",
        "group_by=day,model,provider,key,workspace",
        "group_by=key&group_by=day",
    ] {
        let usage = usage(&gate, query).await;
        assert_eq!(sums(&usage["total"]), ledger, "{query}");
        let rows = usage["data"].as_array().unwrap();
        if !query.is_empty() {
            let added = rows
                .iter()
                .map(sums)
                .fold((0, 0), |sum, row| (sum.0 + row.0, sum.1 + row.1));
            assert_eq!(added, ledger, "{query}: {rows:?}");
        }
        let jobs: u64 = rows.iter().map(|row| row["jobs"].as_u64().unwrap()).sum();
        let total = usage["total"]["jobs"].as_u64().unwrap();
        assert_eq!(total, 12, "released jobs that cost nothing do not count");
        assert!(query.is_empty() || jobs == total, "{query}");
    }
    let by_key = usage(&gate, "group_by=key").await;
    let halves: Vec<_> = by_key["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(sums)
        .collect();
    assert_eq!(halves.len(), 2);
    assert_eq!(halves[0], halves[1], "both keys did the same");
    for key in &keys {
        let half = usage(&gate, &format!("key_id={key}")).await;
        assert_eq!(sums(&half["total"]), halves[0]);
    }
    for nothing in [
        "provider=nobody",
        "model=nothing",
        "to=2020-01-01&from=2019-01-01",
    ] {
        assert_eq!(
            sums(&usage(&gate, nothing).await["total"]),
            (0, 0),
            "{nothing}"
        );
    }
    assert_eq!(
        sums(&usage(&gate, "model=testcard").await["total"]),
        ledger,
        "an alias means its model"
    );
    // And each key's own standing says the same.
    let shown = gate.get("/v1/key").send().await.expect(200).json();
    assert_eq!(shown["captured_nanos"], halves[0].0);
    gate.stop().await.doctor().await.is_closed_and_balanced();
}

#[tokio::test]
async fn activity_has_a_row_for_each_settled_job_and_adds_up_to_usage() {
    let (gate, _) = busy_gate().await;
    let mut rows: Vec<Value> = Vec::new();
    loop {
        let after = rows.last().map_or(String::new(), |last: &Value| {
            format!("&after={}", last["video_id"].as_str().unwrap())
        });
        let page = gate
            .get(&format!("/v1/activity?limit=5{after}"))
            .send()
            .await
            .expect(200)
            .json();
        rows.extend(page["data"].as_array().unwrap().iter().cloned());
        if page["has_more"] == false {
            break;
        }
    }
    let reasons = rows.iter().fold(BTreeMap::new(), |mut counts, row| {
        *counts
            .entry(row["charge_reason"].as_str().unwrap())
            .or_insert(0) += 1;
        counts
    });
    let expected = BTreeMap::from([
        ("completed", 6),
        ("failed_billed", 2),
        ("cancelled_billed", 2),
        ("released", 2),
    ]);
    assert_eq!(reasons, expected);
    let instants: Vec<_> = rows
        .iter()
        .map(|row| row["billed_at"].as_i64().unwrap())
        .collect();
    assert!(instants.is_sorted_by(|a, b| a >= b), "{instants:?}");
    let added = rows
        .iter()
        .map(sums)
        .fold((0, 0), |sum, row| (sum.0 + row.0, sum.1 + row.1));
    let total = usage(&gate, "").await["total"].clone();
    assert_eq!(sums(&total), added);
    for row in &rows {
        let video = gate.status(row["video_id"].as_str().unwrap()).await;
        let billing = &video["billing"];
        assert_eq!(
            (
                &row["user_cost_nanos"],
                &row["charge_reason"],
                &row["billed_at"]
            ),
            (
                &billing["total_nanos"],
                &billing["charge_reason"],
                &billing["billed_at"]
            )
        );
    }
    // A deleted video was paid for all the same.
    let last = rows[0]["video_id"].as_str().unwrap();
    gate.delete(&format!("/v1/videos/{last}"))
        .send()
        .await
        .expect(200);
    assert_eq!(usage(&gate, "").await["total"], total);
}

#[tokio::test]
async fn reports_come_as_csv_too_with_the_same_figures() {
    let (gate, _) = busy_gate().await;
    let csv = async |path: &str| {
        let answer = gate.get(path).send().await.expect(200);
        assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8");
        let mut reader = csv::Reader::from_reader(&answer.body[..]);
        let head = reader.headers().unwrap().clone();
        let rows: Vec<BTreeMap<String, String>> = reader
            .records()
            .map(|row| {
                let row = row.unwrap();
                let named = head.iter().zip(row.iter());
                named
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect()
            })
            .collect();
        rows
    };
    let same = |rows: &[BTreeMap<String, String>], json: &Value| {
        assert_eq!(rows.len(), json.as_array().unwrap().len());
        for (row, object) in rows.iter().zip(json.as_array().unwrap()) {
            for (name, value) in row {
                let expected = match &object[name] {
                    Value::String(text) => text.clone(),
                    Value::Null => String::new(),
                    number => number.as_f64().unwrap().to_string(),
                };
                assert_eq!(*value, expected, "{name}");
            }
        }
    };
    let by = "group_by=day,key,model";
    let rows = csv(&format!("/v1/usage?{by}&format=csv")).await;
    same(&rows, &usage(&gate, by).await["data"]);
    let whole = csv("/v1/activity?format=csv").await;
    let json = gate
        .get("/v1/activity?limit=200")
        .send()
        .await
        .expect(200)
        .json();
    same(&whole, &json["data"]);
    assert_eq!(csv("/v1/activity?format=csv&limit=3").await, whole[..3]);
    gate.get("/v1/usage?format=xml")
        .send()
        .await
        .refused_field("validation_error", "format");
    gate.get("/v1/usage?group_by=colour")
        .send()
        .await
        .refused_field("validation_error", "group_by");
    gate.get("/v1/usage?from=tomorrow")
        .send()
        .await
        .refused_field("validation_error", "from");
    gate.get("/v1/usage?from=2026-11-02&to=2026-11-01")
        .send()
        .await
        .refused_field("validation_error", "to");
}
