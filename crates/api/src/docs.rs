//! All routes with their documentation: a route that is served is described, and nothing else is.

use axum::middleware::from_fn;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::native::{generations, keys, videos, workspaces};
use crate::{Api, Shared, ops};

const ALIAS: &str = "/v1/video/generations";

pub(crate) fn routes(api: &Api) -> OpenApiRouter<Shared> {
    let mut video = all_video_routes();
    if !api.video.enabled {
        video = video.layer(from_fn(videos::switched_off));
    }
    video.merge(other_routes())
}

pub(crate) fn openapi() -> OpenApi {
    finished(all_video_routes().merge(other_routes()).into_openapi())
}

fn all_video_routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .nest("/v1/videos", videos::routes())
        .nest(ALIAS, videos::routes())
        .routes(routes!(generations::generation))
}

fn other_routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .nest("/v1/keys", keys::routes())
        .routes(routes!(workspaces::create, workspaces::list))
        .routes(routes!(ops::health))
        .routes(routes!(ops::ready))
}

/// Adds what no handler can say: the title, the security scheme, and names of its own for the aliases.
pub(crate) fn finished(routes: OpenApi) -> OpenApi {
    let bearer = SecurityScheme::Http(
        HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A key: `fg_<kid>_<secret>`"))
            .build(),
    );
    let mut document = OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Filmgate")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(
                    "One API for AI video generation. Instants are integer unix seconds, money is integer nano-dollars (`*_nanos`) or decimal text (`*_cost`).",
                ))
                .build(),
        )
        .components(Some(
            ComponentsBuilder::new()
                .security_scheme("bearer", bearer)
                .build(),
        ))
        .build();
    document.merge(routes);
    for (path, item) in &mut document.paths.paths {
        let alias = path.starts_with(ALIAS);
        for operation in [&mut item.get, &mut item.post, &mut item.delete]
            .into_iter()
            .flatten()
        {
            if alias && let Some(id) = &mut operation.operation_id {
                id.push_str("_alias");
            }
        }
    }
    document
}
