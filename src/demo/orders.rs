//! The shop's orders: read from a CSV, put together by customer.

use std::path::Path;

use serde::Deserialize;

use super::DemoError;
use crate::template::Template;

/// What a customer is told about an order.
const TEXT: &str = "Order {order_id} of {date}: {cds} CD(s), {amount_usd} USD. Thank you!";

/// Customers and their orders, in the file's order.
#[derive(Debug, Default)]
pub(super) struct Orders {
    /// The shop's numbers for them, which are their account numbers as well.
    pub(super) customers: Vec<String>,
    /// All messages there are to send.
    pub(super) updates: Vec<Update>,
}

/// A message to a customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Update {
    /// Place of the customer in [`Orders::customers`].
    pub(super) customer: usize,
    /// The order's number: unique.
    pub(super) order: String,
    /// The filled template.
    pub(super) text: String,
}

#[derive(Deserialize)]
struct Row {
    order_id: String,
    customer_id: String,
    date: String,
    cds: String,
    amount_usd: String,
}

impl Row {
    fn field(&self, name: &str) -> Option<&str> {
        Some(match name {
            "order_id" => &self.order_id,
            "customer_id" => &self.customer_id,
            "date" => &self.date,
            "cds" => &self.cds,
            "amount_usd" => &self.amount_usd,
            _ => return None,
        })
    }
}

impl Orders {
    /// The orders of the first `most` customers of a file.
    pub(super) fn read(file: &Path, most: usize) -> Result<Self, DemoError> {
        let wrong = |why: String| DemoError::Orders { file: file.to_owned(), why };
        let reader = csv::Reader::from_path(file).map_err(|e| wrong(e.to_string()))?;
        Self::from_csv(reader, most).map_err(wrong)
    }

    fn from_csv(mut reader: csv::Reader<impl std::io::Read>, most: usize) -> Result<Self, String> {
        let template = Template::parse(TEXT).map_err(|e| e.to_string())?;
        let mut orders = Self::default();
        for row in reader.deserialize() {
            let row: Row = row.map_err(|e| e.to_string())?;
            if orders.customers.last() != Some(&row.customer_id) {
                if orders.customers.len() == most {
                    break;
                }
                orders.customers.push(row.customer_id.clone());
            }
            let text = template.render(|name| row.field(name)).map_err(|e| e.to_string())?;
            orders.updates.push(Update { customer: orders.customers.len() - 1, order: row.order_id, text });
        }
        match orders.updates.is_empty() {
            true => Err("holds no orders".into()),
            false => Ok(orders),
        }
    }

    /// Where a customer is reached.
    pub(super) fn address(&self, customer: usize) -> String {
        format!("{}*customers.test", self.customers[customer])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, most: usize) -> Result<Orders, String> {
        Orders::from_csv(csv::Reader::from_reader(text.as_bytes()), most)
    }

    #[test]
    fn orders_are_put_together_by_customer_and_cut_between_customers() {
        let text = "order_id,customer_id,date,cds,amount_usd\n\
                    1,00001,1997-01-01,1,11.77\n2,00002,1997-01-12,1,12.00\n3,00002,1997-01-13,5,77.00\n4,00003,1997-01-14,1,1.00\n";
        let orders = read(text, 2).unwrap();
        assert_eq!(orders.customers, ["00001", "00002"]);
        let updates: Vec<_> = orders.updates.iter().map(|u| (u.customer, u.order.as_str())).collect();
        assert_eq!(updates, [(0, "1"), (1, "2"), (1, "3")]);
        assert_eq!(orders.updates[2].text, "Order 3 of 1997-01-13: 5 CD(s), 77.00 USD. Thank you!");
        assert_eq!(orders.address(1), "00002*customers.test");
        assert_eq!(read(text, usize::MAX).unwrap().customers.len(), 3);
    }

    #[test]
    fn a_file_of_something_else_is_refused() {
        assert!(read("a,b\n1,2\n", 9).unwrap_err().contains("order_id"));
        assert_eq!(read("order_id,customer_id,date,cds,amount_usd\n", 9).unwrap_err(), "holds no orders");
    }
}
