//! The roster: schools, what is known of their lines, their classrooms. For operators only.

use axum::extract::{FromRequestParts, State as Shared};
use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode, header};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::extract::{Holder, Json, segment};
use super::problem::{Document, Kind, Problem};
use super::state::ApiState;
use crate::id::{ClassroomId, SchoolId};
use crate::lesson::{Classroom, MAX_CLASSROOMS, School, SchoolDraft, classroom_name};
use crate::store::Kept;
use crate::units::Bitrate;

/// A school, whole: what is left out is unsaid.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSchool {
    /// What it is called, at most 80 characters; no two schools are called the same.
    pub name: String,
    /// Its district, at most 80 characters.
    pub county: Option<String>,
    /// The name of its line's tier; without one the usual tier is taken.
    pub tier: Option<String>,
    /// What its line is sold as towards the school, in bits per second, where that isn't the tier's.
    pub nominal_rate: Option<u64>,
    /// The part of it that lessons may use, above 0 and up to 1, where that isn't the tier's.
    pub share: Option<f32>,
    /// What a check of the line measured, in bits per second. The lower of it and the nominal rate counts.
    pub measured_rate: Option<u64>,
}

impl From<NewSchool> for SchoolDraft {
    fn from(new: NewSchool) -> Self {
        let NewSchool { name, county, tier, nominal_rate, share, measured_rate } = new;
        let (nominal, measured) = (nominal_rate.map(Bitrate::from_bps), measured_rate.map(Bitrate::from_bps));
        Self { name, county, tier, nominal, share, measured }
    }
}

/// What a classroom is to be called.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClassroomName {
    /// At most 80 characters; no two classrooms of a school are called the same.
    pub name: String,
}

/// A classroom of a school.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Classroom)]
pub(crate) struct ClassroomView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: ClassroomId,
    /// What it is called.
    pub name: String,
}

impl From<Classroom> for ClassroomView {
    fn from(Classroom { id, name }: Classroom) -> Self {
        Self { id, name }
    }
}

/// A school as it is shown.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = School)]
pub(crate) struct SchoolView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: SchoolId,
    /// What it is called.
    pub name: String,
    /// Its district.
    pub county: Option<String>,
    /// The name of its line's tier.
    pub tier: Option<String>,
    /// What its line is sold as, in bits per second, where that isn't the tier's.
    pub nominal_rate: Option<u64>,
    /// The part of it that lessons may use, where that isn't the tier's.
    pub share: Option<f32>,
    /// What a check of the line measured, in bits per second.
    pub measured_rate: Option<u64>,
    /// When that was told.
    #[serde(with = "time::serde::rfc3339::option")]
    pub measured_at: Option<OffsetDateTime>,
    /// When it was created.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was changed last.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

impl From<School> for SchoolView {
    fn from(school: School) -> Self {
        let School { id, name, county, tier, nominal, share, measured, measured_at, created_at, updated_at } = school;
        let (nominal_rate, measured_rate) = (nominal.map(Bitrate::bps), measured.map(Bitrate::bps));
        Self { id, name, county, tier, nominal_rate, share, measured_rate, measured_at, created_at, updated_at }
    }
}

/// The schools by county and name, at most 5,000.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SchoolList {
    /// The schools.
    pub schools: Vec<SchoolView>,
}

/// The classrooms of a school, by name.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ClassroomList {
    /// The classrooms.
    pub classrooms: Vec<ClassroomView>,
}

/// The `{school}` of the path.
pub(crate) struct SchoolPath(SchoolId);

impl FromRequestParts<ApiState> for SchoolPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        segment(parts, state, "school", Kind::SchoolNotFound).await.map(Self)
    }
}

/// The `{classroom}` of the path.
pub(crate) struct ClassroomPath(ClassroomId);

impl FromRequestParts<ApiState> for ClassroomPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        segment(parts, state, "classroom", Kind::ClassroomNotFound).await.map(Self)
    }
}

type Created<T> = (StatusCode, [(HeaderName, String); 1], axum::Json<T>);

/// Create a school.
#[utoipa::path(post, path = "/api/v1/schools", tag = "schools", operation_id = "create_school", request_body = NewSchool,
    responses((status = 201, body = SchoolView, headers(("Location" = String))), (status = 409, body = Document),
        (status = "4XX", body = Document)), security(("token" = [])))]
pub(super) async fn create(
    Shared(state): Shared<ApiState>,
    holder: Holder,
    Json(new): Json<NewSchool>,
) -> Result<Created<SchoolView>, Problem> {
    holder.operator()?;
    let school = School::new(new.into(), state.clock.now())?;
    known_tier(&state, &school)?;
    heed(state.store.insert_school(&school).await?, Kind::SchoolNotFound)?;
    tracing::info!(school = %school.id, name = school.name, tier = school.tier, "school created");
    let location = format!("/api/v1/schools/{}", school.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], axum::Json(school.into())))
}

/// List schools.
#[utoipa::path(get, path = "/api/v1/schools", tag = "schools", operation_id = "list_schools",
    responses((status = 200, body = SchoolList), (status = "4XX", body = Document)), security(("token" = [])))]
pub(super) async fn list(Shared(state): Shared<ApiState>, holder: Holder) -> Result<axum::Json<SchoolList>, Problem> {
    holder.operator()?;
    let schools = state.store.schools().await?.into_iter().map(Into::into).collect();
    Ok(axum::Json(SchoolList { schools }))
}

/// Read a school.
#[utoipa::path(get, path = "/api/v1/schools/{school}", tag = "schools", operation_id = "read_school",
    params(("school" = String, Path)),
    responses((status = 200, body = SchoolView), (status = "4XX", body = Document)), security(("token" = [])))]
pub(super) async fn read(
    Shared(state): Shared<ApiState>,
    SchoolPath(id): SchoolPath,
    holder: Holder,
) -> Result<axum::Json<SchoolView>, Problem> {
    holder.operator()?;
    Ok(axum::Json(school(&state, id).await?.into()))
}

/// Change a school, whole. What is said of its line counts for connections made from then on.
#[utoipa::path(put, path = "/api/v1/schools/{school}", tag = "schools", operation_id = "change_school",
    params(("school" = String, Path)), request_body = NewSchool,
    responses((status = 200, body = SchoolView), (status = 409, body = Document), (status = "4XX", body = Document)),
    security(("token" = [])))]
pub(super) async fn change(
    Shared(state): Shared<ApiState>,
    SchoolPath(id): SchoolPath,
    holder: Holder,
    Json(new): Json<NewSchool>,
) -> Result<axum::Json<SchoolView>, Problem> {
    holder.operator()?;
    let mut school = school(&state, id).await?;
    school.change(new.into(), state.clock.now())?;
    known_tier(&state, &school)?;
    heed(state.store.change_school(&school).await?, Kind::SchoolNotFound)?;
    tracing::info!(school = %id, name = school.name, tier = school.tier, "school changed");
    Ok(axum::Json(school.into()))
}

/// Delete a school and its classrooms. Who is in a lesson stays in it.
#[utoipa::path(delete, path = "/api/v1/schools/{school}", tag = "schools", operation_id = "delete_school",
    params(("school" = String, Path)), responses((status = 204), (status = "4XX", body = Document)),
    security(("token" = [])))]
pub(super) async fn delete(
    Shared(state): Shared<ApiState>,
    SchoolPath(id): SchoolPath,
    holder: Holder,
) -> Result<StatusCode, Problem> {
    holder.operator()?;
    match state.store.delete_school(id).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::plain(Kind::SchoolNotFound)),
    }
}

/// Create a classroom of a school.
#[utoipa::path(post, path = "/api/v1/schools/{school}/classrooms", tag = "schools", operation_id = "create_classroom",
    params(("school" = String, Path)), request_body = ClassroomName,
    responses((status = 201, body = ClassroomView, headers(("Location" = String))), (status = 409, body = Document),
        (status = "4XX", body = Document)), security(("token" = [])))]
pub(super) async fn create_classroom(
    Shared(state): Shared<ApiState>,
    SchoolPath(id): SchoolPath,
    holder: Holder,
    Json(ClassroomName { name }): Json<ClassroomName>,
) -> Result<Created<ClassroomView>, Problem> {
    holder.operator()?;
    let classroom = Classroom { id: ClassroomId::random(), name: classroom_name(name)? };
    if state.store.classrooms(id).await?.len() >= MAX_CLASSROOMS {
        let said = format!("a school has at most {MAX_CLASSROOMS} classrooms");
        return Err(Problem::new(Kind::Unprocessable, said, format!("一所学校最多 {MAX_CLASSROOMS} 个课堂")));
    }
    heed(state.store.insert_classroom(id, &classroom).await?, Kind::SchoolNotFound)?;
    let location = format!("/api/v1/schools/{id}/classrooms/{}", classroom.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], axum::Json(classroom.into())))
}

/// List the classrooms of a school.
#[utoipa::path(get, path = "/api/v1/schools/{school}/classrooms", tag = "schools", operation_id = "list_classrooms",
    params(("school" = String, Path)),
    responses((status = 200, body = ClassroomList), (status = "4XX", body = Document)), security(("token" = [])))]
pub(super) async fn list_classrooms(
    Shared(state): Shared<ApiState>,
    SchoolPath(id): SchoolPath,
    holder: Holder,
) -> Result<axum::Json<ClassroomList>, Problem> {
    holder.operator()?;
    school(&state, id).await?;
    let classrooms = state.store.classrooms(id).await?.into_iter().map(Into::into).collect();
    Ok(axum::Json(ClassroomList { classrooms }))
}

/// Call a classroom something else.
#[utoipa::path(put, path = "/api/v1/schools/{school}/classrooms/{classroom}", tag = "schools",
    operation_id = "change_classroom", params(("school" = String, Path), ("classroom" = String, Path)),
    request_body = ClassroomName,
    responses((status = 200, body = ClassroomView), (status = 409, body = Document), (status = "4XX", body = Document)),
    security(("token" = [])))]
pub(super) async fn change_classroom(
    Shared(state): Shared<ApiState>,
    SchoolPath(school): SchoolPath,
    ClassroomPath(id): ClassroomPath,
    holder: Holder,
    Json(ClassroomName { name }): Json<ClassroomName>,
) -> Result<axum::Json<ClassroomView>, Problem> {
    holder.operator()?;
    let classroom = Classroom { id, name: classroom_name(name)? };
    heed(state.store.rename_classroom(school, &classroom).await?, Kind::ClassroomNotFound)?;
    Ok(axum::Json(classroom.into()))
}

/// Delete a classroom.
#[utoipa::path(delete, path = "/api/v1/schools/{school}/classrooms/{classroom}", tag = "schools",
    operation_id = "delete_classroom", params(("school" = String, Path), ("classroom" = String, Path)),
    responses((status = 204), (status = "4XX", body = Document)), security(("token" = [])))]
pub(super) async fn delete_classroom(
    Shared(state): Shared<ApiState>,
    SchoolPath(school): SchoolPath,
    ClassroomPath(id): ClassroomPath,
    holder: Holder,
) -> Result<StatusCode, Problem> {
    holder.operator()?;
    match state.store.delete_classroom(school, id).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::plain(Kind::ClassroomNotFound)),
    }
}

async fn school(state: &ApiState, id: SchoolId) -> Result<School, Problem> {
    state.store.school(id).await?.ok_or_else(|| Problem::plain(Kind::SchoolNotFound))
}

/// A tier that isn't described would be a line like any other, which nobody meant.
fn known_tier(state: &ApiState, school: &School) -> Result<(), Problem> {
    let Some(tier) = school.tier.as_ref().filter(|tier| !state.tiers.contains(tier)) else { return Ok(()) };
    let known = state.tiers.join(", ");
    let said = format!("there is no tier {tier:?}; there are {known}");
    Err(Problem::new(Kind::Unprocessable, said, format!("没有 {tier} 这一档；可选：{known}")))
}

fn heed(kept: Kept, gone: Kind) -> Result<(), Problem> {
    match kept {
        Kept::Kept => Ok(()),
        Kept::NameTaken => Err(Problem::plain(Kind::NameTaken)),
        Kept::Gone => Err(Problem::plain(gone)),
    }
}
