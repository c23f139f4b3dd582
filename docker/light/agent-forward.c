/*
 * agent-forward.c: ports of the sandbox's own loopback whose connections come out at the worker.
 *
 * Covers: a sandbox has no route anywhere; what reaches the outside is a stream that the worker was asked for by number
 * and may refuse, look into and close. Ports, connections and bytes on their way are bounded, each connection has a
 * credit of its own, so that a slow peer stops its own program and nobody else. Does not cover: who inside connects; every
 * process of the sandbox may, and a secret of one conversation must not be given to another sandbox's port.
 *
 * Request 'Y' {u32 port}: 'o', then for each connection 'a' {u32 number}, 'd' {u32 number, bytes} in both directions,
 * 'k' {u32 number, u32 bytes} credit in both directions, 'f' {u32 number} end of one direction, 'c' {u32 number} the end.
 */
#include "agent.h"
#include <arpa/inet.h>
#include <netinet/in.h>

#define MAX_PORTS 4
#define CREDIT (256u << 10) /* bytes of one direction that the other side has not acknowledged */

struct port {
  int fd;
  uint32_t id; /* frames of its connections carry it */
};
struct connection {
  int used, fd, ended;     /* ended: 1 the program writes no more, 2 the worker writes no more */
  uint32_t number;         /* never used again: a late frame must not reach the next connection */
  uint32_t port, credit;   /* bytes that may still be sent to the worker */
  uint32_t events;
  struct buffer to_program;
};
static struct port ports[MAX_PORTS];
static int nports;
static uint32_t next_number;
static struct connection connections[MAX_CONNECTIONS];

static void tell(const struct connection *c, uint8_t type, const uint32_t *more) {
  size_t mark = frame_begin(&agent.out, ports[c->port].id, type);
  put_u32(&agent.out, c->number);
  if (more) put_u32(&agent.out, *more);
  frame_end(&agent.out, mark);
}

static void drop(struct connection *c, int say) {
  if (say) tell(c, 'c', NULL);
  agent_unwatch(c->fd);
  buffer_free(&c->to_program);
  c->used = 0;
}

/* What is waited for: input while there is credit, output while something waits. A descriptor that nothing is waited
 * for is not watched at all, else its hang-up would be told again and again. */
static void look_at(struct connection *c) {
  uint32_t index = (uint32_t)(c - connections), events = 0;
  if (!(c->ended & 1) && c->credit > 0 && !agent.paused) events |= EPOLLIN;
  if (c->to_program.to > c->to_program.from) events |= EPOLLOUT;
  if (events == c->events) return;
  struct epoll_event e = {.events = events, .data.u64 = (uint64_t)ON_CONNECTION << 32 | index};
  epoll_ctl(agent.epoll, events == 0 ? EPOLL_CTL_DEL : c->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, c->fd, &e);
  c->events = events;
}

void forward_open(uint32_t id, struct reader *r) {
  uint32_t number = get_u32(r);
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)number), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (r->bad || number < 1024 || number > 65535) return agent_fail(id, "a forwarded port is 1024 to 65535");
  if (nports == MAX_PORTS) return agent_fail(id, "too many forwarded ports");
  int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd >= 0) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, MAX_CONNECTIONS) < 0) {
    int error = errno;
    if (fd >= 0) close(fd);
    return agent_fail(id, strerror(error));
  }
  ports[nports] = (struct port){fd, id};
  agent_watch(fd, ON_PORT, (uint32_t)nports++, EPOLLIN);
  agent_answer(id, 'o', NULL, 0);
}

/* A connection beyond the bound is closed at once: the program sees it and can try again. */
void forward_accept(uint32_t index) {
  if (index >= (uint32_t)nports) return;
  int fd = accept4(ports[index].fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  for (uint32_t i = 0; i < MAX_CONNECTIONS; i++) {
    struct connection *c = &connections[i];
    if (c->used) continue;
    *c = (struct connection){.used = 1, .fd = fd, .number = next_number++, .port = index, .credit = CREDIT};
    tell(c, 'a', NULL);
    look_at(c);
    return;
  }
  close(fd);
}

static void from_program(struct connection *c) {
  static uint8_t data[4 + CHUNK];
  size_t most = c->credit < CHUNK ? c->credit : CHUNK;
  ssize_t n = read(c->fd, data + 4, most);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n < 0) return drop(c, 1);
  if (n == 0) {
    c->ended |= 1;
    return tell(c, 'f', NULL);
  }
  memcpy(data, &c->number, 4);
  c->credit -= (uint32_t)n;
  agent_answer(ports[c->port].id, 'd', data, 4 + (size_t)n);
}

static void to_program(struct connection *c) {
  size_t before = c->to_program.to - c->to_program.from;
  if (before == 0) return;
  if (buffer_flush(&c->to_program, c->fd) < 0) return drop(c, 1);
  uint32_t gone = (uint32_t)(before - (c->to_program.to - c->to_program.from));
  if (gone > 0) tell(c, 'k', &gone);
}

/* Both directions have ended and nothing waits: the number is free again. */
static void settle(struct connection *c) {
  if (!c->used) return;
  int empty = c->to_program.to == c->to_program.from;
  if ((c->ended & 2) && empty) shutdown(c->fd, SHUT_WR);
  if (c->ended == 3 && empty) drop(c, 1);
  else look_at(c);
}

void forward_event(uint32_t index, uint32_t events) {
  struct connection *c = index < MAX_CONNECTIONS ? &connections[index] : NULL;
  if (!c || !c->used) return;
  uint32_t over = events & (EPOLLERR | EPOLLHUP); /* reading or writing then tells what happened */
  if (c->events & EPOLLOUT && (events & EPOLLOUT || over)) to_program(c);
  if (c->used && c->events & EPOLLIN && (events & EPOLLIN || over)) from_program(c);
  settle(c);
}

void forward_request(const struct frame *f) {
  struct reader r = {f->payload, f->payload + f->length, 0};
  uint32_t number = get_u32(&r);
  struct connection *c = NULL;
  for (int i = 0; i < MAX_CONNECTIONS && !r.bad; i++)
    if (connections[i].used && connections[i].number == number) c = &connections[i];
  if (!c) return; /* it ended while this was on its way */
  if (f->type == 'c') return drop(c, 0);
  if (f->type == 'f') c->ended |= 2;
  if (f->type == 'k') c->credit += get_u32(&r);
  if (f->type == 'd') {
    size_t length = (size_t)(r.end - r.at);
    if (c->to_program.to - c->to_program.from + length > CREDIT) _exit(1); /* the worker keeps to its credit */
    if (buffer_add(&c->to_program, r.at, length) < 0) return drop(c, 1);
    to_program(c);
  }
  settle(c);
}

void forward_pause(void) {
  for (int i = 0; i < MAX_CONNECTIONS; i++) if (connections[i].used) look_at(&connections[i]);
}
