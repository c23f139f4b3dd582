/*
 * wire.c: buffers and frames. Used on both sides of the wall.
 * Covers: lengths from the peer are checked before use; a read past the end sets `bad` instead of reading.
 * Does not cover: what a well-formed frame asks for.
 */
#include "light.h"

int buffer_reserve(struct buffer *b, size_t more) {
  if (b->from == b->to) b->from = b->to = 0;
  if (b->to + more <= b->room) return 0;
  if (b->from > 0) {
    memmove(b->data, b->data + b->from, b->to - b->from);
    b->to -= b->from;
    b->from = 0;
    if (b->to + more <= b->room) return 0;
  }
  size_t room = b->room ? b->room : 4096;
  while (room < b->to + more) room *= 2;
  uint8_t *grown = realloc(b->data, room);
  if (!grown) return -1;
  b->data = grown;
  b->room = room;
  return 0;
}

int buffer_add(struct buffer *b, const void *data, size_t length) {
  if (length == 0) return 0;
  if (buffer_reserve(b, length) < 0) return -1;
  memcpy(b->data + b->to, data, length);
  b->to += length;
  return 0;
}

void buffer_free(struct buffer *b) {
  free(b->data);
  *b = (struct buffer){0};
}

size_t frame_begin(struct buffer *b, uint32_t id, uint8_t type) {
  uint8_t head[FRAME_HEAD] = {0};
  memcpy(head + 4, &id, 4);
  head[8] = type;
  if (buffer_add(b, head, sizeof head) < 0) return SIZE_MAX;
  return b->to - b->from - FRAME_HEAD; /* relative to `from`: adding may move the data */
}

void frame_end(struct buffer *b, size_t mark) {
  if (mark == SIZE_MAX) return;
  uint32_t length = (uint32_t)(b->to - b->from - mark - FRAME_HEAD);
  memcpy(b->data + b->from + mark, &length, 4);
}

int frame_put(struct buffer *b, uint32_t id, uint8_t type, const void *data, size_t length) {
  if (buffer_reserve(b, length + FRAME_HEAD) < 0) return -1;
  size_t mark = frame_begin(b, id, type);
  buffer_add(b, data, length);
  frame_end(b, mark);
  return 0;
}

void put_u8(struct buffer *b, uint8_t v) { buffer_add(b, &v, 1); }
void put_u32(struct buffer *b, uint32_t v) { buffer_add(b, &v, 4); }
void put_u64(struct buffer *b, uint64_t v) { buffer_add(b, &v, 8); }
void put_text(struct buffer *b, const void *data, size_t length) {
  put_u32(b, (uint32_t)length);
  buffer_add(b, data, length);
}

const uint8_t *get_bytes(struct reader *r, size_t length) {
  if (r->bad || (size_t)(r->end - r->at) < length) {
    r->bad = 1;
    return NULL;
  }
  const uint8_t *p = r->at;
  r->at += length;
  return p;
}

static uint64_t get_number(struct reader *r, size_t length) {
  uint64_t v = 0;
  const uint8_t *p = get_bytes(r, length);
  if (p) memcpy(&v, p, length);
  return v;
}
uint8_t get_u8(struct reader *r) { return (uint8_t)get_number(r, 1); }
uint32_t get_u32(struct reader *r) { return (uint32_t)get_number(r, 4); }
uint64_t get_u64(struct reader *r) { return get_number(r, 8); }

/* Copies a text and ends it with NUL. A text with a NUL inside, or too long for the room, is a broken frame. */
int get_text(struct reader *r, char *into, size_t room) {
  uint32_t length = get_u32(r);
  const uint8_t *p = get_bytes(r, length);
  if (!p || length >= room || memchr(p, 0, length)) {
    r->bad = 1;
    into[0] = 0;
    return -1;
  }
  memcpy(into, p, length);
  into[length] = 0;
  return (int)length;
}

int frame_take(struct buffer *b, struct frame *f) {
  size_t have = b->to - b->from;
  if (have < FRAME_HEAD) return 0;
  const uint8_t *p = b->data + b->from;
  memcpy(&f->length, p, 4);
  memcpy(&f->id, p + 4, 4);
  f->type = p[8];
  f->payload = p + FRAME_HEAD;
  if (f->length > MAX_REQUEST) return -1;
  if (have < FRAME_HEAD + f->length) return 0;
  b->from += FRAME_HEAD + f->length;
  return 1;
}

int buffer_fill(struct buffer *b, int fd) {
  size_t want = CHUNK;
  if (b->to - b->from >= 4) { /* room for the whole frame that has begun */
    uint32_t length;
    memcpy(&length, b->data + b->from, 4);
    if (length <= MAX_REQUEST && length > want) want = length;
  }
  if (buffer_reserve(b, want) < 0) return -1;
  ssize_t n;
  do n = read(fd, b->data + b->to, b->room - b->to);
  while (n < 0 && errno == EINTR);
  if (n <= 0) return (int)n;
  b->to += (size_t)n;
  return 1;
}

int buffer_flush(struct buffer *b, int fd) {
  while (b->from < b->to) {
    ssize_t n = write(fd, b->data + b->from, b->to - b->from);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return 1;
    if (n < 0) return -1;
    b->from += (size_t)n;
  }
  b->from = b->to = 0;
  if (b->room > 4 * CHUNK) buffer_free(b); /* a burst is over: an idle sandbox stays small */
  return 0;
}

int write_all(int fd, const void *data, size_t length) {
  const uint8_t *p = data;
  while (length > 0) {
    ssize_t n = write(fd, p, length);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return -1;
    p += n;
    length -= (size_t)n;
  }
  return 0;
}
