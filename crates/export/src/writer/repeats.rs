//! Which columns should have no dictionary: told by the first rows. One whose values repeat so little that its dictionary would be given
//! up is thrown away in each row group anew otherwise; and whole numbers whose differences are as short as places in a dictionary are
//! written as these, for which nothing is looked up.

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
pub(super) fn without_dictionary(rows: &RecordBatch) -> Vec<Plain> {
    let schema = rows.schema();
    let columns = schema.fields().iter().zip(rows.columns()).filter(|(_, column)| is_better_without(column));
    columns.map(|(field, column)| Plain { name: field.name().clone(), is_integer: is_integer(column.data_type()) }).collect()
}

fn is_integer(of: &DataType) -> bool {
    of.is_integer() || matches!(of, DataType::Date32 | DataType::Time32(_) | DataType::Time64(_) | DataType::Timestamp(..))
}

fn is_better_without(column: &dyn Array) -> bool {
    let places = (0..column.len()).filter(|at| column.is_valid(*at)).take(MOST);
    match column.data_type() {
        DataType::Utf8 => outgrows(&Dictionary::of(places.map(|at| column.as_string::<i32>().value(at).as_bytes()).collect())),
        DataType::Binary => outgrows(&Dictionary::of(places.map(|at| column.as_binary::<i32>().value(at)).collect())),
        of => {
            let (data, Some(width)) = (column.to_data(), of.primitive_width()) else { return false };
            let bytes = data.buffers().first().and_then(|buffer| buffer.as_slice().get(data.offset() * width..)).unwrap_or_default();
            let values: Vec<&[u8]> = places.filter_map(|at| bytes.get(at * width..(at + 1) * width)).collect();
            let numbers: Option<Vec<i64>> = values.iter().filter(|_| is_integer(of)).map(|value| number(value)).collect();
            let dictionary = Dictionary::of(values);
            outgrows(&dictionary) || numbers.is_some_and(|numbers| packs(&numbers, &dictionary))
        }
    }
}

fn number(bytes: &[u8]) -> Option<i64> {
    let narrow = || bytes.try_into().map(|bytes| i64::from(i32::from_ne_bytes(bytes)));
    bytes.try_into().map(i64::from_ne_bytes).or_else(|_| narrow()).ok()
}

/// What a column's dictionary is going to be, as far as its first values say.
#[derive(Debug, Clone, Copy)]
struct Dictionary {
    /// Values that were looked at.
    looked_at: usize,
    entries: usize,
    bytes: usize,
}

impl Dictionary {
    fn of(mut values: Vec<&[u8]>) -> Self {
        let (looked_at, bytes) = (values.len(), values.iter().map(|value| value.len()).sum::<usize>());
        values.sort_unstable();
        values.dedup();
        let repeats = looked_at - values.len();
        let entries = match repeats {
            0 => usize::MAX,
            // Of n values, drawn from so many that are equally frequent, n²/2 pairs may be two of the same, each by one chance in so many.
            few if few < looked_at / 2 => looked_at * looked_at / (2 * few),
            _ => values.len(),
        };
        Self { looked_at, entries, bytes: entries.saturating_mul(bytes / looked_at.max(1)) }
    }
}

fn outgrows(dictionary: &Dictionary) -> bool {
    dictionary.looked_at >= LEAST && dictionary.bytes > DICTIONARY_BYTES
}

/// Whether differences take hardly more bits than places in a dictionary do.
fn packs(numbers: &[i64], dictionary: &Dictionary) -> bool {
    let differences = || numbers.windows(2).map(|two| i128::from(two[1]) - i128::from(two[0]));
    let (Some(least), Some(most)) = (differences().min(), differences().max()) else { return false };
    dictionary.looked_at >= LEAST && bits(most.abs_diff(least)) <= bits(dictionary.entries as u128 - 1) + 1
}

/// Of numbers up to this one.
fn bits(most: u128) -> u32 {
    u128::BITS - most.leading_zeros()
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
        without_dictionary(&rows).into_iter().map(|Plain { name, is_integer }| (name, is_integer)).collect()
    }

    #[test]
    fn what_never_repeats_is_plain_and_what_fits_into_a_dictionary_is_not() {
        let rows = 5000_i64;
        let text = |n: i64, len: usize| format!("{n:0len$}");
        let columns: Vec<ArrayRef> = vec![
            Arc::new((0..rows).collect::<Int64Array>()),
            Arc::new((0..rows).map(|n| n as f64 / 7.0).collect::<Float64Array>()),
            Arc::new((0..rows).map(|n| (n % 2 == 0).then(|| text(n, 30))).collect::<StringArray>()),
            // Ten repeat of 4096: about 800,000 numbers of eight bytes; of a hundred and ten, a dictionary that fits.
            Arc::new((0..rows).map(|n| n.max(10) as f64).collect::<Float64Array>()),
            Arc::new((0..rows).map(|n| n.max(110) as f64).collect::<Float64Array>()),
            Arc::new((0..rows).map(|n| Some(text(n % 100, 30))).collect::<StringArray>()),
            // However long they are, a hundred are few.
            Arc::new((0..rows).map(|n| Some(text(n % 100, 1000))).collect::<StringArray>()),
            Arc::new((0..rows).map(|n| Some(n % 2 == 0)).collect::<BooleanArray>()),
            Arc::new(ListArray::from_iter_primitive::<arrow_array::types::Int64Type, _, _>((0..rows).map(|n| Some([Some(n)])))),
        ];
        let expected = [("0", true), ("1", false), ("2", false), ("3", false)];
        assert_eq!(plain(columns), expected.map(|(name, is_integer)| (name.to_owned(), is_integer)));
    }

    #[test]
    fn whole_numbers_have_a_dictionary_where_that_is_shorter_than_their_differences() {
        let rows = 5000_i64;
        let mix = |n: i64, of: i64| (n * 2_654_435_761).rem_euclid(1 << 32) % of;
        let columns: Vec<ArrayRef> = vec![
            Arc::new((0..rows).map(|_| 7).collect::<Int32Array>()),
            Arc::new((0..rows).map(|n| mix(n, 20)).collect::<Int64Array>()),
            Arc::new((0..rows).map(|n| mix(n, 50_000)).collect::<Int64Array>()),
            // A few that are far from each other.
            Arc::new((0..rows).map(|n| [200, 404, 503][mix(n, 3) as usize]).collect::<Int32Array>()),
            Arc::new((0..rows).map(|n| [i64::MIN, i64::MAX][mix(n, 2) as usize]).collect::<Int64Array>()),
            Arc::new((0..rows).map(|n| mix(n, 1000) << 40).collect::<Int64Array>()),
        ];
        assert_eq!(plain(columns), ["0", "1", "2"].map(|name| (name.to_owned(), true)));
    }

    #[test]
    fn few_values_say_nothing_and_a_slice_is_what_is_looked_at() {
        let few = LEAST as i64 - 1;
        assert_eq!(plain(vec![Arc::new((0..few).collect::<Int64Array>())]), []);
        let half: ArrayRef = Arc::new((0..4000_i64).map(|n| n.max(2000) as f64 / 8.0).collect::<Float64Array>());
        assert_eq!(plain(vec![half.slice(0, 2000)]), []);
        assert_eq!(plain(vec![half.slice(2000, 2000)]), [("0".to_owned(), false)]);
    }
}
