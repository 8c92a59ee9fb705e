//! SQL in parts, with its values beside it: [`Statement`].

use diesel::{
    mysql::Mysql,
    query_builder::{BoxedSqlQuery, SqlQuery},
    sql_types::{BigInt, Double, Text},
};

/// A value for one `?`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Integer(i64),
    Number(f64),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

/// SQL in the making. Only what is written in this program becomes SQL; what comes from outside is a value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Statement {
    sql: String,
    values: Vec<Value>,
}

impl Statement {
    /// Adds SQL and the values for its question marks.
    ///
    /// The type of `sql` says `'static`: text from outside does not fit.
    pub(crate) fn push(&mut self, sql: &'static str, values: impl IntoIterator<Item = Value>) {
        self.sql.push_str(sql);
        self.values.extend(values);
    }

    /// Adds another statement.
    pub(crate) fn append(&mut self, other: Self) {
        self.sql.push_str(&other.sql);
        self.values.extend(other.values);
    }

    /// Adds `(?, ?, …)` with the values, of which there is one at least.
    pub(crate) fn push_list<V: Into<Value>>(&mut self, values: impl IntoIterator<Item = V>) {
        for (index, value) in values.into_iter().enumerate() {
            self.push(if index == 0 { "(?" } else { ", ?" }, [value.into()]);
        }
        self.push(")", []);
    }

    /// Its SQL, and how many values it has.
    #[cfg(test)]
    pub(crate) fn parts(&self) -> (&str, usize) {
        (&self.sql, self.values.len())
    }

    /// What diesel can run. Not kept prepared: lists of different lengths would each be kept.
    pub(crate) fn into_query(self) -> BoxedSqlQuery<'static, Mysql, SqlQuery> {
        let query = diesel::sql_query(self.sql).into_boxed();
        self.values.into_iter().fold(query, |query, value| match value {
            Value::Text(text) => query.bind::<Text, _>(text),
            Value::Integer(number) => query.bind::<BigInt, _>(number),
            Value::Number(number) => query.bind::<Double, _>(number),
        })
    }
}
