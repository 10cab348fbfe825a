//! Reads and writes the whole content of a Redis server.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use redis::aio::MultiplexedConnection;

use super::image::{Image, Row, RowKind};
use crate::redis_server::RedisServer;

/// Elements of one command.
const STEP: usize = 1000;

pub(crate) async fn read(server: &RedisServer) -> anyhow::Result<Image> {
    let mut connection = server.connect().await?;
    let names: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query_async(&mut connection).await?;
    let mut rows = BTreeMap::new();
    for names in names.chunks(STEP) {
        read_keys(&mut connection, names, &mut rows).await?;
    }
    Ok(Image(rows))
}

async fn read_keys(
    connection: &mut MultiplexedConnection,
    names: &[Vec<u8>],
    rows: &mut BTreeMap<Row, Vec<u8>>,
) -> anyhow::Result<()> {
    let mut pipeline = redis::pipe();
    for name in names {
        pipeline.cmd("TYPE").arg(name);
    }
    let kinds: Vec<String> = pipeline.query_async(connection).await?;
    let mut pipeline = redis::pipe();
    for (name, kind) in names.iter().zip(&kinds) {
        match kind.as_str() {
            "string" => pipeline.cmd("GET").arg(name),
            "hash" => pipeline.cmd("HGETALL").arg(name),
            "list" => pipeline.cmd("LRANGE").arg(name).arg(0).arg(-1),
            _ => pipeline.cmd("ECHO").arg(""),
        };
    }
    let values: Vec<redis::Value> = pipeline.query_async(connection).await?;
    for ((name, kind), value) in names.iter().zip(kinds).zip(&values) {
        add_key(name, kind, value, rows)?;
    }
    Ok(())
}

fn add_key(
    name: &[u8],
    kind: String,
    value: &redis::Value,
    rows: &mut BTreeMap<Row, Vec<u8>>,
) -> anyhow::Result<()> {
    let row = |kind, key| Row { table: name.to_vec(), kind, key };
    match kind.as_str() {
        "string" => {
            rows.insert(row(RowKind::Text, Vec::new()), redis::from_redis_value_ref(value)?);
        }
        "hash" => {
            let values: Vec<(Vec<u8>, Vec<u8>)> = redis::from_redis_value_ref(value)?;
            rows.extend(values.into_iter().map(|(key, value)| (row(RowKind::Hash, key), value)));
        }
        "list" => {
            let values: Vec<Vec<u8>> = redis::from_redis_value_ref(value)?;
            let key = |index: usize| (index as u64).to_be_bytes().to_vec();
            let elements = values.into_iter().enumerate();
            rows.extend(elements.map(|(index, value)| (row(RowKind::List, key(index)), value)));
        }
        // A damaged command may have created any type of key, which no core reads.
        _ => {
            rows.insert(row(RowKind::Text, kind.into()), Vec::new());
        }
    }
    Ok(())
}

/// Replaces the content of the server.
pub(crate) async fn write(server: &RedisServer, image: &Image) -> anyhow::Result<()> {
    let mut connection = server.connect().await?;
    let mut pipeline = redis::pipe();
    pipeline.cmd("FLUSHALL").ignore();
    let rows: Vec<_> = image.0.iter().collect();
    for key in rows.chunk_by(|a, b| (&a.0.table, a.0.kind) == (&b.0.table, b.0.kind)) {
        for part in key.chunks(STEP) {
            let Some((Row { table, kind, .. }, value)) = part.first() else { continue };
            match kind {
                RowKind::Text => pipeline.cmd("SET").arg(table).arg(value),
                RowKind::Hash => {
                    let command = pipeline.cmd("HSET").arg(table);
                    part.iter()
                        .fold(command, |command, (row, value)| command.arg(&row.key).arg(value))
                }
                RowKind::List => {
                    let command = pipeline.cmd("RPUSH").arg(table);
                    part.iter().fold(command, |command, (_, value)| command.arg(value))
                }
                RowKind::Table => bail!("a row of another store"),
            }
            .ignore();
        }
    }
    pipeline.query_async::<()>(&mut connection).await.context("cannot fill Redis")
}
