//! How a token is shown, and how it is not.

use crate::site::Site;

#[tokio::test]
async fn a_token_is_one_word_after_bearer_in_one_header() {
    let site = Site::start().await;
    let token = site.token();
    let with = |value: &str| {
        site.request("GET", "/v1/info")
            .header("authorization", value)
    };
    for good in ["Bearer", "bearer", "BEARER", "bEARER"] {
        let answer = site.send(with(&format!("{good} {token}"))).await;
        assert_eq!(answer.status, 200, "{good}");
    }
    // The name of a header has no case either.
    let shouted = site.request("GET", "/v1/info");
    let shouted = shouted.header("AUTHORIZATION", format!("Bearer   {token}"));
    assert_eq!(site.send(shouted).await.status, 200);

    let cut = &token[..token.len() - 1];
    for wrong in [
        "",
        "Bearer",
        "Bearer ",
        &token,
        &format!("Bearer{token}"),
        &format!("Basic {token}"),
        &format!("Token {token}"),
        &format!("Bearer {cut}"),
        &format!("Bearer {token}0"),
        &format!("Bearer {}", token.to_uppercase()),
        &format!("Bearer {token} {token}"),
        &format!("Bearer {token}, Bearer {token}"),
        &format!("Bearer \"{token}\""),
        "Bearer eh_",
        "Bearer eh__",
        "Bearer eh_admin_",
        &format!("Bearer eh_000000000000_{}", "f".repeat(64)),
    ] {
        let answer = site.send(with(wrong)).await;
        assert_eq!(answer.status, 401, "{wrong}: {answer:?}");
        assert_eq!(answer.body["code"], "unauthorized");
        assert!(answer.body["hint"].is_string(), "{answer:?}");
        assert!(!answer.body.to_string().contains(cut), "{answer:?}");
    }
}

#[tokio::test]
async fn two_headers_are_refused_also_when_one_of_them_is_good() {
    let site = Site::start().await;
    let good = format!("Bearer {}", site.token());
    for (first, second) in [
        (good.as_str(), "Bearer x"),
        ("Bearer x", &good),
        (&good, &good),
    ] {
        let request = site.request("GET", "/v1/info");
        let request = request.header("authorization", first);
        let answer = site.send(request.header("authorization", second)).await;
        assert_eq!(answer.status, 401);
        assert!(answer.said().contains("more than one"), "{}", answer.said());
    }
}

#[tokio::test]
async fn a_token_of_any_length_or_bytes_is_refused_and_the_host_goes_on() {
    let site = Site::start().await;
    let with = |value: Vec<u8>| {
        let value = reqwest::header::HeaderValue::from_bytes(&value).unwrap();
        site.request("GET", "/v1/info")
            .header("authorization", value)
    };
    for length in [513, 8 << 10, 64 << 10] {
        let answer = site
            .send(with(format!("Bearer {}", "a".repeat(length)).into_bytes()))
            .await;
        assert_eq!(answer.status, 401, "{length}");
        assert!(answer.said().contains("too long"), "{}", answer.said());
    }
    // More than the HTTP server takes for all headers.
    let huge = site
        .send(with(format!("Bearer {}", "a".repeat(1 << 20)).into_bytes()))
        .await;
    assert_eq!(huge.status, 431);
    let answer = site.send(with(b"Bearer \xff\xfe\x80".to_vec())).await;
    assert_eq!(answer.status, 401);
    assert_eq!(site.get(&site.token(), "/v1/info").await.status, 200);
}

#[tokio::test]
async fn what_a_refusal_asks_for_is_said_in_the_header_too() {
    let site = Site::start().await;
    let answer = site.request("GET", "/v1/tree").send().await.unwrap();
    assert_eq!(answer.status(), 401);
    assert_eq!(answer.headers()["www-authenticate"], "Bearer");
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
}
