// What stays in the browser: the space's code and its sealed vault, in IndexedDB; a tab's session, in sessionStorage. Never an opened
// key. Other tabs may have removed the space or put another in its place meanwhile: whoever changes a record says whose it is.

const DATABASE = "homing";
const STORE = "spaces";
const OWN = "own";

function database() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
    request.onblocked = () => reject(new Error("another tab holds the storage"));
  });
}

async function run(mode, work) {
  const db = await database();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = db.transaction(STORE, mode);
      const request = work(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onerror = () => reject(transaction.error);
      transaction.onabort = () => reject(transaction.error);
    });
  } finally {
    db.close();
  }
}

/** The record of this browser's space: {space, vault, version}; undefined when there is none. */
export const kept = () => run("readonly", (store) => store.get(OWN));

/** Keeps a record, in place of whichever there is. */
export const keep = ({ space, vault, version }) => run("readwrite", (store) => store.put({ space, vault, version }, OWN));

/** Keeps a newer record of the space that is there; does nothing when that is another one, or none. */
export const renew = ({ space, vault, version }) => ifKept(space, (store) => store.put({ space, vault, version }, OWN));

/** Forgets this space; another one stays. */
export const forget = (space) => ifKept(space, (store) => store.delete(OWN));

const ifKept = (space, work) =>
  run("readwrite", (store) => {
    const held = store.get(OWN);
    held.onsuccess = () => held.result?.space === space && work(store);
    return held;
  });

const SESSION = "homing-session";

/** This tab's session: {space, token}; null when there is none. */
export function session() {
  try {
    const { space, token } = JSON.parse(sessionStorage.getItem(SESSION));
    return { space, token };
  } catch {
    return null;
  }
}

/** Keeps the session of a space. */
export const keepSession = (space, token) => sessionStorage.setItem(SESSION, JSON.stringify({ space, token }));

/** Forgets it. */
export const forgetSession = () => sessionStorage.removeItem(SESSION);
