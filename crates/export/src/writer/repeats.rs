//! Which columns repeat so little that their dictionaries would be given up: told by the first rows, so that nobody pays for one that
//! is thrown away, in each row group anew.

use super::DICTIONARY_BYTES;
use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;

/// Values that are looked at, and the least that say anything.
const MOST: usize = 4096;
const LEAST: usize = 512;

/// A column without a dictionary.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plain {
    pub(super) name: String,
    /// Of whole numbers, or what is counted in them.
    pub(super) is_integer: bool,
}

/// Of columns at the top; those within others are left as they are.
pub(super) fn hardly_any(rows: &RecordBatch) -> Vec<Plain> {
    let schema = rows.schema();
    let columns = schema.fields().iter().zip(rows.columns()).filter(|(_, column)| repeats_hardly(column));
    columns.map(|(field, column)| Plain { name: field.name().clone(), is_integer: is_integer(column.data_type()) }).collect()
}

fn is_integer(of: &DataType) -> bool {
    of.is_integer() || matches!(of, DataType::Date32 | DataType::Time32(_) | DataType::Time64(_) | DataType::Timestamp(..))
}

fn repeats_hardly(column: &dyn Array) -> bool {
    let places = (0..column.len()).filter(|at| column.is_valid(*at)).take(MOST);
    match column.data_type() {
        DataType::Utf8 => outgrows(places.map(|at| column.as_string::<i32>().value(at).as_bytes()).collect(), DICTIONARY_BYTES),
        DataType::Binary => outgrows(places.map(|at| column.as_binary::<i32>().value(at)).collect(), DICTIONARY_BYTES),
        of => {
            let (data, Some(width)) = (column.to_data(), of.primitive_width()) else { return false };
            let bytes = data.buffers().first().and_then(|buffer| buffer.as_slice().get(data.offset() * width..)).unwrap_or_default();
            outgrows(places.filter_map(|at| bytes.get(at * width..(at + 1) * width)).collect(), DICTIONARY_BYTES)
        }
    }
}

/// Of `n` values, drawn from so many that are equally frequent, n²/2 pairs may be two of the same, each by one chance in so many.
fn outgrows(mut values: Vec<&[u8]>, limit: usize) -> bool {
    let (number, bytes) = (values.len(), values.iter().map(|value| value.len()).sum::<usize>());
    if number < LEAST {
        return false;
    }
    values.sort_unstable();
    values.dedup();
    let repeats = number - values.len();
    // How many there are, times the bytes that one takes.
    repeats == 0 || number * number / (2 * repeats) * (bytes / number) > limit
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, ListArray, StringArray};
    use std::sync::Arc;

    /// What is plain of these columns, which are named by their places.
    fn plain(columns: Vec<ArrayRef>) -> Vec<(String, bool)> {
        let named = columns.into_iter().enumerate().map(|(at, column)| (at.to_string(), column));
        let rows = RecordBatch::try_from_iter_with_nullable(named.map(|(name, column)| (name, column, true))).unwrap();
        hardly_any(&rows).into_iter().map(|Plain { name, is_integer }| (name, is_integer)).collect()
    }

    #[test]
    fn what_never_repeats_is_plain_and_what_fits_into_a_dictionary_is_not() {
        let rows = 5000_i64;
        let text = |n: i64, len: usize| format!("{n:0len$}");
        let columns: Vec<ArrayRef> = vec![
            Arc::new((0..rows).collect::<Int64Array>()),
            Arc::new((0..rows).map(|n| n as f64 / 7.0).collect::<Float64Array>()),
            Arc::new((0..rows).map(|n| (n % 2 == 0).then(|| text(n, 30))).collect::<StringArray>()),
            // Ten repeat of 4096: about 800,000 numbers of four bytes; of a hundred and ten, a dictionary that fits.
            Arc::new((0..rows as i32).map(|n| n.max(10)).collect::<Int32Array>()),
            Arc::new((0..rows as i32).map(|n| n.max(110)).collect::<Int32Array>()),
            Arc::new((0..rows).map(|n| Some(text(n % 100, 30))).collect::<StringArray>()),
            Arc::new((0..rows).map(|n| Some(n % 2 == 0)).collect::<BooleanArray>()),
            Arc::new(ListArray::from_iter_primitive::<arrow_array::types::Int64Type, _, _>((0..rows).map(|n| Some([Some(n)])))),
        ];
        let expected = [("0", true), ("1", false), ("2", false), ("3", true)];
        assert_eq!(plain(columns), expected.map(|(name, is_integer)| (name.to_owned(), is_integer)));
    }

    #[test]
    fn few_values_say_nothing_and_a_slice_is_what_is_looked_at() {
        let few = LEAST as i64 - 1;
        assert_eq!(plain(vec![Arc::new((0..few).collect::<Int64Array>())]), []);
        let half: ArrayRef = Arc::new((0..4000_i64).map(|n| n.max(2000)).collect::<Int64Array>());
        assert_eq!(plain(vec![half.slice(0, 2000)]), []);
        assert_eq!(plain(vec![half.slice(2000, 2000)]), [("0".to_owned(), true)]);
    }
}
