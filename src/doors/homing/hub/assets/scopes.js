// What merchants may ask for: the names of HS/1, their words, and what a value must be like.

const FIELDS = {
  fullname: { label: "Full name", autocomplete: "name", maxlength: 200 },
  email: { label: "E-mail", type: "email", autocomplete: "email", maxlength: 254 },
  email1: { label: "Second e-mail", type: "email", autocomplete: "off", maxlength: 254 },
  email2: { label: "Third e-mail", type: "email", autocomplete: "off", maxlength: 254 },
  address: { label: "Address", autocomplete: "street-address", maxlength: 1000 },
  avatarurl: { label: "Address of a picture", type: "url", autocomplete: "off", pattern: "https://.+", maxlength: 2048, hint: "It begins with https://" },
  phone1: { label: "Phone", type: "tel", autocomplete: "tel", pattern: "\\+?[0-9]{9,15}", maxlength: 16, hint: "9 to 15 digits, with or without +" },
  phone2: { label: "Second phone", type: "tel", autocomplete: "off", pattern: "\\+?[0-9]{9,15}", maxlength: 16, hint: "9 to 15 digits, with or without +" },
  birthday: { label: "Birthday", type: "date", autocomplete: "bday", min: "1800-01-01", max: "9999-12-31" },
};

/** The names that every space has a place for. */
export const STANDARD = Object.keys(FIELDS);

/** What is known of a name; a merchant's own names are shown as they are. */
export const field = (name) => FIELDS[name] ?? { label: name, autocomplete: "off", maxlength: 2000 };

/** Both lists of "mandatory;names|optional;names". */
export function parse(text) {
  const lists = text.split("|").map((list) => list.split(";").filter((name) => name !== ""));
  if (lists.length !== 2) throw new Error("This request does not say properly what it asks for.");
  return { mandatory: lists[0], optional: lists[1] };
}

/** A value as it is kept and sent. */
export const clean = (value) => value.normalize("NFC").replace(/\p{Cc}+/gu, " ").trim();
