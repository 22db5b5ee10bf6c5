// What stays in the browser: the space's code and its sealed vault, in IndexedDB. Never an opened key.

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

/** Keeps a record in place of the one there is. */
export const keep = ({ space, vault, version }) => run("readwrite", (store) => store.put({ space, vault, version }, OWN));

/** Forgets it. */
export const forget = () => run("readwrite", (store) => store.delete(OWN));
