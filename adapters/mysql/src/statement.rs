//! SQL with the values for its question marks: [`Statement`].

use std::borrow::Cow;

use chrono::NaiveDateTime;
use diesel::{
    QueryResult,
    mysql::Mysql,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{BigInt, Datetime, Text, Untyped},
};

/// A value for one `?`.
#[derive(Debug)]
pub(crate) enum Value<'a> {
    Text(Cow<'a, str>),
    Integer(i64),
    Time(NaiveDateTime),
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<NaiveDateTime> for Value<'_> {
    fn from(time: NaiveDateTime) -> Self {
        Self::Time(time)
    }
}

/// A statement to run. Diesel's own queries know their tables when they are compiled; here they are configured.
#[derive(Debug)]
pub(crate) struct Statement<'a> {
    sql: Cow<'a, str>,
    values: Vec<Value<'a>>,
    is_kept: bool,
}

impl<'a> Statement<'a> {
    /// A statement whose text comes again and again: connections keep it prepared. Their memory for that has no bound,
    /// so there must be few such texts.
    pub(crate) fn kept(sql: impl Into<Cow<'a, str>>, values: Vec<Value<'a>>) -> Self {
        Self { sql: sql.into(), values, is_kept: true }
    }

    /// A statement of which no connection keeps anything.
    pub(crate) fn once(sql: impl Into<Cow<'a, str>>, values: Vec<Value<'a>>) -> Self {
        Self { is_kept: false, ..Self::kept(sql, values) }
    }
}

impl QueryFragment<Mysql> for Statement<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        if !self.is_kept {
            out.unsafe_to_cache_prepared();
        }
        let mut values = self.values.iter();
        for piece in self.sql.split_inclusive('?') {
            let Some(before) = piece.strip_suffix('?') else {
                out.push_sql(piece);
                continue;
            };
            out.push_sql(before);
            match values.next() {
                Some(Value::Text(text)) => out.push_bind_param::<Text, str>(text)?,
                Some(Value::Integer(number)) => out.push_bind_param::<BigInt, i64>(number)?,
                Some(Value::Time(time)) => out.push_bind_param::<Datetime, NaiveDateTime>(time)?,
                None => return Err(diesel::result::Error::QueryBuilderError("a value is missing".into())),
            }
        }
        Ok(())
    }
}

impl QueryId for Statement<'_> {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Statement<'_> {
    type SqlType = Untyped;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_for_question_marks() {
        let statement = Statement::once("a = ? AND b = ? LIMIT 1", vec!["x?".into(), 7.into()]);
        assert_eq!(
            diesel::debug_query::<Mysql, _>(&statement).to_string(),
            r#"a = ? AND b = ? LIMIT 1 -- binds: ["x?", 7]"#
        );
        let too_few = Statement::once("a = ? AND b = ?", vec!["x".into()]);
        let mut builder = diesel::mysql::MysqlQueryBuilder::new();
        assert!(too_few.to_sql(&mut builder, &Mysql).is_err());
    }
}
