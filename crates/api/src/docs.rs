//! All routes with their documentation: a route that is served is described, and nothing else is.

use axum::middleware::from_fn;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::Type;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, ObjectBuilder, OpenApi, OpenApiBuilder, Ref,
    Response, ResponseBuilder,
};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::native::{
    actions, activity, admin_jobs, callbacks, credits, generations, keys, provider_keys, providers,
    usage, videos, workspaces,
};
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
        .routes(routes!(videos::websocket::websocket))
        .routes(routes!(generations::generation))
}

fn other_routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .nest("/v1/keys", keys::routes())
        .routes(routes!(keys::current::current))
        .nest("/v1/provider-keys", provider_keys::routes())
        .routes(routes!(workspaces::create, workspaces::list))
        .routes(routes!(workspaces::show))
        .nest("/v1/credits", credits::routes())
        .routes(routes!(usage::usage))
        .routes(routes!(activity::activity))
        .routes(routes!(actions::actions))
        .routes(routes!(providers::providers))
        .merge(callbacks::routes())
        .nest("/v1/admin/jobs", admin_jobs::routes())
        .routes(routes!(ops::health))
        .routes(routes!(ops::ready))
}

fn asks_for_key(operation: &Operation) -> bool {
    let known_answers = &operation.responses.responses;
    known_answers.contains_key("401")
}

/// What every call with a key may be told.
fn too_many_calls() -> Response {
    let retry_after = HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(Type::Integer)))
        .description(Some("seconds to wait"))
        .build();
    ResponseBuilder::new()
        .description(
            "The key makes more calls than it may, follows as many videos as it may, has as many jobs or as much spent as it may until its limit begins anew, or too many wrong keys came from this address",
        )
        .header("Retry-After", retry_after)
        .content(
            "application/json",
            ContentBuilder::new()
                .schema(Some(Ref::from_schema_name("ErrorBody")))
                .build(),
        )
        .build()
}

/// Adds what no handler can say: the title, the security scheme, the answer to too many calls, and names of its own for
/// the aliases.
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
        for operation in [
            &mut item.get,
            &mut item.post,
            &mut item.patch,
            &mut item.delete,
        ]
        .into_iter()
        .flatten()
        {
            if asks_for_key(operation) {
                operation
                    .responses
                    .responses
                    .insert("429".to_owned(), too_many_calls().into());
            }
            if alias && let Some(id) = &mut operation.operation_id {
                id.push_str("_alias");
            }
        }
    }
    document
}
