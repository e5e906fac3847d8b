//! Statements that are run for many rows of one transaction.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection};

/// Rows that one statement inserts. Of 300 in a transaction a row costs 21,000 instructions one by one, 15,900 by fours
/// and 15,200 by eights. But the first statement has to bind all that it takes: of 15 rows, by fours is the least.
const AT_ONCE: usize = 4;

/// The values of a row, or of some rows, in the order of a statement's parameters.
pub(in crate::store) type Values<'v> = Vec<ValueRef<'v>>;

/// A number.
pub(in crate::store) fn integer<'v>(number: impl Into<i64>) -> ValueRef<'v> {
    ValueRef::Integer(number.into())
}

/// A text.
pub(in crate::store) const fn text(text: &str) -> ValueRef<'_> {
    ValueRef::Text(text.as_bytes())
}

/// A statement that keeps what is bound, and binds what differs: most values of a usage row are those of the row
/// before, and to bind one costs ten times what it costs to compare it.
struct Bound<'c, 'v> {
    statement: CachedStatement<'c>,
    values: Values<'v>,
}

impl<'c, 'v> Bound<'c, 'v> {
    fn prepare(connection: &'c Connection, sql: &str) -> rusqlite::Result<Self> {
        let statement = connection.prepare_cached(sql)?;
        // What is not bound is NULL.
        let values = vec![ValueRef::Null; statement.parameter_count()];
        Ok(Self { statement, values })
    }

    /// Runs it with a value for each of its parameters, and says how many rows it changed.
    fn run(&mut self, values: &[ValueRef<'v>]) -> rusqlite::Result<usize> {
        let (given, needed) = (values.len(), self.values.len());
        if given != needed {
            return Err(rusqlite::Error::InvalidParameterCount(given, needed));
        }
        for (index, (bound, value)) in self.values.iter_mut().zip(values).enumerate() {
            if bound != value {
                let output = ToSqlOutput::Borrowed(*value);
                self.statement.raw_bind_parameter(index + 1, output)?;
                *bound = *value;
            }
        }
        self.statement.raw_execute()
    }
}

/// Runs a statement for each of `rows`, with the values that `write` writes of it, and says how many rows it changed.
pub(in crate::store) fn run<'v, R>(
    connection: &Connection,
    sql: &str,
    rows: impl IntoIterator<Item = R>,
    write: impl Fn(R, &mut Values<'v>),
) -> rusqlite::Result<usize> {
    let mut rows = rows.into_iter().peekable();
    if rows.peek().is_none() {
        return Ok(0);
    }
    let mut statement = Bound::prepare(connection, sql)?;
    let mut values = Values::new();
    let mut changed = 0;
    for row in rows {
        values.clear();
        write(row, &mut values);
        changed += statement.run(&values)?;
    }
    Ok(changed)
}

/// How rows are inserted.
pub(super) struct Insert {
    columns: usize,
    one: String,
    some: String,
}

impl Insert {
    /// Into these columns of a table, as SQL has them.
    pub fn into(table: &str, columns: &str) -> Self {
        let count = columns.split(", ").count();
        let row = format!("({})", vec!["?"; count].join(", "));
        // Whatever fails, the transaction is undone: without a way back for each statement, a row costs less.
        let sql = |rows: usize| {
            let rows = vec![row.as_str(); rows].join(", ");
            format!("INSERT OR ROLLBACK INTO {table} ({columns}) VALUES {rows}")
        };
        Self {
            columns: count,
            one: sql(1),
            some: sql(AT_ONCE),
        }
    }

    /// Inserts each of `rows`, with the values that `write` writes of it.
    pub fn run<'v, R>(
        &self,
        connection: &Connection,
        rows: impl IntoIterator<Item = R>,
        write: impl Fn(R, &mut Values<'v>),
    ) -> rusqlite::Result<()> {
        let full = AT_ONCE * self.columns;
        let mut values = Values::with_capacity(full);
        let mut some = None;
        for row in rows {
            write(row, &mut values);
            if values.len() == full {
                let statement = match &mut some {
                    Some(prepared) => prepared,
                    none => none.insert(Bound::prepare(connection, &self.some)?),
                };
                statement.run(&values)?;
                values.clear();
            }
        }
        let rest = values.chunks(self.columns);
        run(connection, &self.one, rest, |row, values| {
            values.extend(row);
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::types::Value;

    /// Number, name, and how many.
    type Row = (i64, Option<String>, Value);

    fn table() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, many INTEGER)")
            .unwrap();
        connection
    }

    /// Of three rows one has no name, of two one has no number.
    fn some(count: i64) -> Vec<Row> {
        let row = |id| {
            let name = (id % 3 != 0).then(|| format!("name {}", id / 2));
            let many = match id % 2 {
                0 => Value::Null,
                _ => Value::Integer(id / 4),
            };
            (id, name, many)
        };
        (1..=count).map(row).collect()
    }

    fn write<'v>((id, name, many): &'v Row, values: &mut Values<'v>) {
        let name = name.as_ref();
        values.extend([
            ValueRef::Integer(*id),
            name.map_or(ValueRef::Null, |name| ValueRef::Text(name.as_bytes())),
            ValueRef::from(many),
        ]);
    }

    fn all(connection: &Connection) -> Vec<Row> {
        connection
            .prepare("SELECT id, name, many FROM t ORDER BY id")
            .unwrap()
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .unwrap()
            .collect::<rusqlite::Result<_>>()
            .unwrap()
    }

    #[test]
    fn rows_have_their_own_values_however_many_there_are() {
        let insert = Insert::into("t", "id, name, many");
        for count in 0..=11 {
            let (connection, rows) = (table(), some(count));
            insert.run(&connection, &rows, write).unwrap();
            assert_eq!(all(&connection), rows, "{count}");
        }
    }

    #[test]
    fn what_is_changed_is_counted() {
        let (connection, rows) = (table(), some(9));
        let insert = Insert::into("t", "id, name, many");
        insert.run(&connection, &rows, write).unwrap();
        let sql = "UPDATE t SET name = ?2, many = ?3 WHERE id = ?1 + 4";
        let changed = run(&connection, sql, &rows, write).unwrap();
        assert_eq!(changed, 5);
        let told = |(id, name, many): &Row| (id + 4, name.clone(), many.clone());
        let expected: Vec<Row> = rows[..5].iter().map(told).collect();
        assert_eq!(all(&connection)[4..], expected);
    }

    #[test]
    fn a_row_that_cannot_be_undoes_the_transaction() {
        let mut connection = table();
        let insert = Insert::into("t", "id, name, many");
        let transaction = connection.transaction().unwrap();
        let twice = [some(5), some(1)].concat();
        insert.run(&transaction, &twice, write).unwrap_err();
        transaction.finish().unwrap();
        assert_eq!(all(&connection), []);
    }

    #[test]
    fn a_value_too_few_is_an_error() {
        let connection = table();
        let sql = "INSERT INTO t (id, name, many) VALUES (?, ?, ?)";
        let error = run(&connection, sql, [1], |id, values| {
            values.push(ValueRef::Integer(id));
        });
        let error = error.unwrap_err();
        assert!(
            matches!(error, rusqlite::Error::InvalidParameterCount(1, 3)),
            "{error}"
        );
    }
}
