//! What is posted to others: the one message of a webhook.

use std::borrow::Cow;

use utoipa::{
    Modify, ToSchema,
    openapi::{
        self, ContentBuilder, HttpMethod, ObjectBuilder, PathItem, PathsBuilder, Ref, Required, ResponseBuilder,
        path::{OperationBuilder, ParameterBuilder, ParameterIn},
        request_body::RequestBodyBuilder,
        schema::{SchemaType, Type},
        security::SecurityRequirement,
    },
};

use crate::domain::Kill;

/// A kill of which nothing more will be learned, as webhooks are told of it.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "what the document says of a body that is written by the courier")]
pub(super) struct KillCompleted {
    /// `kill.completed`.
    #[schema(example = "kill.completed")]
    r#type: String,
    /// When that was known.
    #[schema(format = DateTime)]
    timestamp: String,
    /// As `GET /kills/{id}` shows it.
    data: Kill,
}

/// Says what a webhook gets.
pub(super) struct Webhooks;

impl Modify for Webhooks {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let body = ContentBuilder::new().schema(Some(Ref::from_schema_name(KillCompleted::name()))).build();
        let body = RequestBodyBuilder::new().content("application/json", body).required(Some(Required::True)).build();
        let header = |name: &str, description: &str| {
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Header)
                .required(Required::True)
                .description(Some(Cow::from(description)))
                .schema(Some(ObjectBuilder::new().schema_type(SchemaType::Type(Type::String))))
                .build()
        };
        let operation = OperationBuilder::new()
            .operation_id(Some("killCompleted"))
            .tag("kills")
            .summary(Some("A kill is over"))
            .description(Some(
                "Posted to each configured webhook that the kill concerns, at least once, signed as Standard Webhooks has \
                 it. Any status from 200 to 299 within ten seconds takes it, 410 ends it, everything else is tried again.",
            ))
            .parameter(header("webhook-id", "The same at each try: what came under it before is nothing new"))
            .parameter(header("webhook-timestamp", "Unix time of the try, in seconds"))
            .parameter(header("webhook-signature", "`v1,` and a base64 HMAC-SHA256 over id, timestamp and body"))
            .request_body(Some(body))
            .response("2XX", ResponseBuilder::new().description("It was taken").build())
            .response("410", ResponseBuilder::new().description("Nobody wants it any more").build())
            .securities(Some([SecurityRequirement::default()]))
            .build();
        document.webhooks =
            Some(PathsBuilder::new().path("killCompleted", PathItem::new(HttpMethod::Post, operation)).build());
    }
}
