import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { sha256 } from "../../core/ids.ts";
import { blobObjects } from "../../platform/store/blob-objects.ts";
import { missingS3, openTestS3, type TestS3 } from "../test-s3.ts";

const missing = missingS3();
if (missing !== null) console.warn(`blobs in a bucket are not tested: ${missing}`);

describe.skipIf(missing !== null)("blobs in a bucket", () => {
  let service: TestS3;
  beforeAll(async () => {
    service = await openTestS3();
  });
  afterAll(() => service?.[Symbol.asyncDispose]());

  const hex = (data: Uint8Array) => sha256(data).slice("sha256:".length);

  test("come back whole from every process, under the prefix, once", async () => {
    const [a, b] = [blobObjects(service.place), blobObjects(service.place)];
    for (const data of [Buffer.alloc(0), Buffer.from("small"), Buffer.alloc(9_000_000, "abc")]) {
      const [first, again] = await Promise.all([a.putBlob(data), b.putBlob(data)]);
      expect([first, again]).toEqual([sha256(data), sha256(data)]);
      expect(await b.blob(first)).toEqual(data);
      expect(await service.objects()).toContain(hex(data));
    }
    expect(await service.objects()).toHaveLength(3);
    expect(await a.blob(sha256("never put"))).toBeNull();
  });

  test("a view into a larger buffer is stored as what it shows", async () => {
    const store = blobObjects(service.place);
    const inside = Buffer.from("before inside after").subarray(7, 13);
    expect(Buffer.from((await store.blob(await store.putBlob(inside))) ?? []).toString()).toBe("inside");
  });

  test("a call made while the service is away is answered when it is back", async () => {
    const store = blobObjects(service.place);
    const digest = await store.putBlob(Buffer.from("kept"));
    await service.stop();
    const calls = Promise.all([store.blob(digest), store.putBlob(Buffer.from("meanwhile"))]);
    await service.start();
    expect((await calls).map(String)).toEqual(["kept", sha256("meanwhile")]);
  });

  test("a wrong key and a service that stays away are failures of the store that name no secret", async () => {
    const wrong = blobObjects({ ...service.place, accessKey: "nobody", secretKey: "very-secret" });
    await expect(wrong.putBlob(Buffer.from("refused"))).rejects.toMatchObject({
      code: "store_failed",
      message: expect.not.stringContaining("very-secret"),
    });
    const away = blobObjects({ ...service.place, endpoint: "http://127.0.0.1:9/blobs" }, { patienceMs: 200 });
    await expect(away.blob(sha256("x"))).rejects.toMatchObject({ code: "store_failed", retryable: true });
  });
});
