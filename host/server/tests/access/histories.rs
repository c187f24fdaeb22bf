//! Whose history one may read.

use serde_json::json;

use crate::site::Site;

#[tokio::test]
async fn what_became_of_a_node_elsewhere_is_not_told_where_it_was() {
    let site = Site::start().await;
    site.plant().await;
    site.order("provision", "/web/front/vm9", json!({})).await;
    let to = json!({"to": "/db/vm9"});
    site.order("move", "/web/front/vm9", to).await;
    let secret = json!({"definition": {"description": "merger of the year"}});
    site.order("edit", "/db/vm9", secret).await;
    site.order("deprovision", "/db/vm9", json!({})).await;
    site.grant("/web", "eve", "viewer").await;
    site.grant("/db", "dan", "viewer").await;
    let (eve, _) = site.make_token("eve", None).await;
    let (dan, _) = site.make_token("dan", None).await;

    let was = "/v1/nodes/history?path=/web/front/vm9";
    let of_eve = site.get(&eve, was).await;
    assert_eq!(of_eve.status, 404, "{of_eve:?}");
    assert!(!of_eve.body.to_string().contains("merger"), "{of_eve:?}");
    // A node that has the name now shows its own, and not that there was another.
    site.order("provision", "/web/front/vm9", json!({})).await;
    let of_eve = site.get(&eve, was).await;
    assert_eq!(
        (of_eve.status, &of_eve.body["others"]),
        (200, &json!(null)),
        "{of_eve:?}"
    );

    let of_dan = site.get(&dan, "/v1/nodes/history?path=/db/vm9").await;
    assert!(of_dan.body.to_string().contains("merger"), "{of_dan:?}");
}
