//! A build goes on from the trace of whoever pushed it or asked for it.

use anyhow::{Context as _, Result};
use harness::platform::Platform;
use harness::{platform, remote};
use reqwest::Method;
use url::Url;

const PUSHED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const ASKED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

#[tokio::test]
async fn a_build_goes_on_from_the_trace_of_who_asked_for_it() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let mut remote = remote::create(&platform, "traced", "static").await?;
    remote.tree.config.push(("http.extraHeader".to_owned(), format!("traceparent: {PUSHED}")));
    let pushed = remote::push(&remote, &[], &["main"]).await?;
    assert_eq!(pushed.code, Some(0), "{}", pushed.text);
    let path = format!("/apps/{}/builds/1/rebuild", remote.app.name);
    let asked = platform.api(Method::POST, &path).header("traceparent", ASKED).send().await?;
    asked.error_for_status()?;

    let mut url = Url::parse(&platform.database_url).context("DATABASE_URL is no URL")?;
    url.set_path("slipway");
    let db = store::pool(url.as_str(), 1)?;
    let parents: Vec<Option<String>> = sqlx::query_scalar(
        "select p.trace_parent from push p join build b on b.push_id = p.id join app a on a.id = b.app_id
         where a.name = $1 order by b.number",
    )
    .bind(&remote.app.name)
    .fetch_all(&db)
    .await?;
    assert_eq!(parents, [PUSHED, ASKED].map(|it| Some(it.to_owned())));
    remote::put_away(&platform, &remote).await
}
