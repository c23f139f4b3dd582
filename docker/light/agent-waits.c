/*
 * agent-waits.c: how long the programs inside waited for a processor that the machine did not have.
 *
 * Covers: the kernel's own account of the sandbox's group, less what the sandbox's quota withheld. It grows only while some
 * program could run and none did, so programs that take turns with each other add nothing to it, however many they are.
 * Does not cover: an ordinary user, an engine's containers and kernels without pressure accounts; nobody counts it there.
 */
#include "agent.h"

/* The number that follows `name`, from `line` on; -1 where there is none. */
static double number_after(int fd, const char *line, const char *name) {
  char text[512];
  ssize_t n = fd < 0 ? -1 : pread(fd, text, sizeof text - 1, 0);
  text[n > 0 ? n : 0] = 0;
  const char *from = strstr(text, line), *at = from ? strstr(from, name) : NULL;
  return at ? strtod(at + strlen(name), NULL) : -1;
}

/* Microseconds of what was withheld by anybody, -1 where nobody counts it, and of what its own quota withheld. */
static double withheld_us(double *by_quota) {
  double v2 = number_after(agent.quota_fd, "throttled_usec ", "throttled_usec ");
  double v1 = number_after(agent.quota_fd, "throttled_time ", "throttled_time "); /* nanoseconds */
  *by_quota = v2 >= 0 ? v2 : v1 >= 0 ? v1 / 1e3 : 0;
  return number_after(agent.pressure_fd, "full ", "total=");
}

/* The two are counted apart: with several cores their difference may be below zero, and only its growth means something. */
static double waited_ms(void) {
  double by_quota, all = withheld_us(&by_quota);
  return (all - by_quota) / 1e3;
}

/* -> u64 microseconds withheld, u64 of them by its own quota; nothing where nobody counts */
void waited_tell(uint32_t id) {
  double by_quota, all = withheld_us(&by_quota);
  size_t mark = frame_begin(&agent.out, id, 'o');
  if (all >= 0) put_u64(&agent.out, (uint64_t)all), put_u64(&agent.out, (uint64_t)by_quota);
  frame_end(&agent.out, mark);
}

void waited_begin(struct job *j) {
  j->waited = waited_ms();
  j->granted = 0;
}

/* What a command waited since its start, as far as it was not given already. */
double waited_more(struct job *j) {
  double most = j->timeout < MAX_GRANTED / 3 ? j->timeout * 3 : MAX_GRANTED, due = waited_ms() - j->waited;
  double more = (due < most ? due : most) - j->granted;
  if (more < LEAST_GRANTED) return 0;
  j->granted += more;
  return more;
}
