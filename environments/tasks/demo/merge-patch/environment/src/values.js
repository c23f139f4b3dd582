/** True for what JSON calls an object: no array, no null. */
export const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
