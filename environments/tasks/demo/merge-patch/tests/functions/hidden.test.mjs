import assert from "node:assert/strict";
import { apply, diff } from "./src/patch.js";

const refused = async (from, to) => {
  try {
    await diff(from, to);
  } catch (error) {
    return error.name === "TypeError";
  }
  return false;
};

export async function test_apply_sets_and_removes() {
  assert.deepEqual(await apply({ a: 1, b: 2 }, { a: null, c: 3 }), { b: 2, c: 3 });
  assert.deepEqual(await apply({ a: 1 }, { b: null }), { a: 1 });
}

export async function test_apply_merges_deep() {
  assert.deepEqual(await apply({ a: { b: { c: 1, d: 2 }, e: 3 } }, { a: { b: { d: null, f: 4 } } }), { a: { b: { c: 1, f: 4 }, e: 3 } });
}

export async function test_apply_replaces_what_is_no_object() {
  assert.deepEqual(await apply({ a: 1 }, [1, null]), [1, null]);
  assert.equal(await apply({ a: 1 }, null), null);
  assert.equal(await apply([1], "text"), "text");
}

export async function test_apply_to_what_is_no_object() {
  assert.deepEqual(await apply([1, 2], { a: 1 }), { a: 1 });
  assert.deepEqual(await apply(null, { a: null }), {});
  assert.deepEqual(await apply({ a: "x" }, { a: { b: 1 } }), { a: { b: 1 } });
}

export async function test_apply_drops_nulls_of_new_objects() {
  assert.deepEqual(await apply({}, { a: { b: { c: null } } }), { a: { b: {} } });
  assert.deepEqual(await apply({ a: [0] }, { a: { b: null, c: [{ d: null }] } }), { a: { c: [{ d: null }] } });
}

export async function test_apply_keeps_nulls_that_were_there() {
  assert.deepEqual(await apply({ a: null, b: 1 }, { b: 2 }), { a: null, b: 2 });
}

export async function test_diff_of_equal_documents() {
  assert.deepEqual(await diff({ a: { b: [1, { c: null }] } }, { a: { b: [1, { c: null }] } }), {});
  assert.deepEqual(await diff({ a: 1, b: 2 }, { b: 2, a: 1 }), {});
  assert.equal(await diff(3, 3), 3);
  assert.equal(await diff(null, null), null);
}

export async function test_diff_names_only_changes() {
  assert.deepEqual(await diff({ a: 1, b: { c: 2, d: 3 }, x: [1] }, { b: { c: 2, d: 4 }, x: [1], e: [null] }), {
    a: null,
    b: { d: 4 },
    e: [null],
  });
}

export async function test_diff_replaces_arrays_whole() {
  assert.deepEqual(await diff({ a: [1, 2, 3] }, { a: [1, 3, 2] }), { a: [1, 3, 2] });
  assert.deepEqual(await diff({ a: [{ x: 1, y: 2 }] }, { a: [{ y: 2, x: 1 }] }), {});
}

export async function test_diff_between_types() {
  assert.deepEqual(await diff({ a: 1 }, { a: { b: 1 } }), { a: { b: 1 } });
  assert.deepEqual(await diff({ a: { b: 1 } }, { a: "x" }), { a: "x" });
  assert.deepEqual(await diff([1], { a: 1 }), { a: 1 });
  assert.deepEqual(await diff({ a: { b: 1 } }, { a: {} }), { a: { b: null } });
  assert.deepEqual(await diff({ a: [] }, { a: {} }), { a: {} });
  assert.deepEqual(await diff({ a: 0, b: "" }, { a: false, b: 0 }), { a: false, b: 0 });
}

export async function test_diff_refuses_nulls_it_cannot_make() {
  assert.equal(await refused({}, { a: null }), true);
  assert.equal(await refused({ a: 1 }, { a: null }), true);
  assert.equal(await refused({}, { a: { b: { c: null } } }), true);
  assert.equal(await refused({ a: [] }, { a: { b: null } }), true);
  assert.deepEqual(await diff({ a: null, b: { c: null } }, { a: null, b: { c: null, d: 1 } }), { b: { d: 1 } });
  assert.equal(await diff({ a: 1 }, null), null);
}

export async function test_names_of_inherited_members_are_data() {
  assert.deepEqual(await diff({}, { constructor: 1, toString: { a: 1 } }), { constructor: 1, toString: { a: 1 } });
  assert.deepEqual(await diff({ valueOf: 1 }, {}), { valueOf: null });
}
