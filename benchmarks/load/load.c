/* The load client: opens SSE connections to 127.0.0.1, counts every event, checks every sequence, measures latency.
 *
 * Every event carries, in its metric "bench/<n>", the time at which it was published (milliseconds since the epoch with
 * three decimals, CLOCK_REALTIME) and a sequence number that rises by one per metric:
 *     data: {"metric":"bench/7",...,"time":[1763871234567.125],"value":[42]}
 * A number that is skipped is a loss, one that does not rise is a duplicate or disorder.
 *
 *     load --port P --targets FILE [--threads 2] [--concurrency 200] [--ready TEXT] [--header TEXT] [--base 0] [--rcvbuf 0]
 *          [--stalled 0] [--dribble K,BYTES,MS] [--conflated]
 *
 * FILE has one line per connection: the path, a tab, the numbers of the metrics it expects (comma-separated).
 * Commands on standard input, one answer line of JSON each:
 *     mark            forget counts and latencies (not the sequences)
 *     report SEQ      counts since the mark; how much is missing if every metric ended at SEQ
 *     wait SEQ SECS   wait until every connection has SEQ of all its metrics
 *     drop            close all connections
 *     back SEQ SECS   reconnect all at once with Last-Event-ID, and wait until all have SEQ of all their metrics
 *     quit
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "latency.h"

enum { BUFFER = 1 << 18, ID_BYTES = 64, MAX_THREADS = 16 };
enum state { IDLE, CONNECTING, HEADERS, BODY, CLOSED };
enum chunk { RAW, SIZE, DATA, END };

struct conn {
    int fd;
    uint8_t state, chunk;
    bool ready, counted_down, stalled, dribbles;
    uint32_t chunk_left;
    uint32_t carry_len, carry_cap;
    char *carry; /* the start of a line whose end has not arrived */
    char last_id[ID_BYTES];
    const char *path;
    uint32_t metrics, behind;
    uint32_t *metric;  /* numbers of the metrics, ascending */
    int64_t *last;     /* last sequence of each */
    int64_t events, readings;
    double opened_s;
};

struct stats {
    int64_t events, bytes, reads, lost, duplicates, disorder, unknown, gaps, resets, skipped, byes, closed, refused;
    int64_t histogram[BUCKETS];
    int64_t max_us;
};

struct thread {
    pthread_t id;
    int epoll, wake;
    struct conn *conns;
    int count, next, opening, ready, done;
    struct stats stats;
    atomic_int command;
    int64_t wanted;
    sem_t answered;
    double first_s, ready_s, done_s;
    char *buffer;
    uint64_t next_dribble_ms;
};

static int port, threads = 2, concurrency = 200, rcvbuf, stalled, dribblers, dribble_bytes, dribble_ms = 10;
static bool conflated;
static int64_t base;
static const char *ready_text = "", *header = "";
static struct thread pool[MAX_THREADS];

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static int64_t real_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

/* ---- one connection */

static void watch(struct thread *t, struct conn *c, uint32_t events, int operation) {
    struct epoll_event e = {.events = events, .data.ptr = c};
    epoll_ctl(t->epoll, operation, c->fd, &e);
}

static void shut(struct conn *c) {
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    c->state = CLOSED;
}

static void ask(struct thread *t, struct conn *c) {
    static __thread char request[1 << 17];
    char resume[ID_BYTES + 32] = "";
    if (c->last_id[0]) snprintf(resume, sizeof resume, "Last-Event-ID: %s\r\n", c->last_id);
    int size = snprintf(request, sizeof request,
                        "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: text/event-stream\r\n%s%s%s\r\n", c->path, port,
                        header, *header ? "\r\n" : "", resume);
    if (size >= (int)sizeof request || send(c->fd, request, (size_t)size, MSG_NOSIGNAL) != size) {
        t->stats.refused++;
        shut(c);
        t->opening--;
        return;
    }
    c->state = HEADERS;
    watch(t, c, EPOLLIN, EPOLL_CTL_MOD);
}

static void start(struct thread *t, struct conn *c) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (rcvbuf) setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof rcvbuf);
    c->ready = c->counted_down = false;
    c->carry_len = 0;
    c->chunk = RAW;
    c->chunk_left = 0;
    c->opened_s = now_s();
    if (t->first_s == 0) t->first_s = c->opened_s;
    c->state = CONNECTING;
    t->opening++;
    int result = connect(c->fd, (struct sockaddr *)&address, sizeof address);
    if (result < 0 && errno != EINPROGRESS) {
        t->stats.refused++;
        shut(c);
        t->opening--;
        return;
    }
    watch(t, c, EPOLLOUT, EPOLL_CTL_ADD);
    if (result == 0) ask(t, c);
}

static void start_more(struct thread *t) {
    while (t->next < t->count && t->opening < (concurrency + threads - 1) / threads) start(t, &t->conns[t->next++]);
}

static void became_ready(struct thread *t, struct conn *c) {
    c->ready = true;
    t->opening--;
    if (++t->ready == t->count) t->ready_s = now_s();
    if (c->stalled || c->dribbles) epoll_ctl(t->epoll, EPOLL_CTL_DEL, c->fd, NULL);
    start_more(t);
}

static void check_done(struct thread *t, struct conn *c) {
    if (t->wanted >= 0 && c->behind == 0 && !c->counted_down) {
        c->counted_down = true;
        if (++t->done == t->count) t->done_s = now_s();
    }
}

static int slot(const struct conn *c, uint32_t metric) {
    if (c->metrics == 1) return c->metric[0] == metric ? 0 : -1;
    int low = 0, high = (int)c->metrics - 1;
    while (low <= high) {
        int middle = (low + high) / 2;
        if (c->metric[middle] == metric) return middle;
        if (c->metric[middle] < metric) low = middle + 1;
        else high = middle - 1;
    }
    return -1;
}

/* Parse backwards: ...,"time":[1763871234567.125],"value":[42]} */
static void event(struct thread *t, struct conn *c, const char *line, const char *end, int64_t arrived_us) {
    static const char head[] = "{\"metric\":\"bench/";
    struct stats *s = &t->stats;
    if (conflated) {
        const char *p = line;
        while ((p = memmem(p, (size_t)(end - p), "\"count\":[", 9)) != NULL) c->readings += strtoll(p += 9, NULL, 10);
        if (line[0] == '{') { c->events++; s->events++; }
        return;
    }
    if ((size_t)(end - line) < sizeof head + 40 || memcmp(line, head, sizeof head - 1) != 0) return;
    uint32_t metric = 0;
    for (const char *p = line + sizeof head - 1; *p >= '0' && *p <= '9'; p++) metric = metric * 10 + (uint32_t)(*p - '0');
    const char *p = end;
    if (p[-1] != '}' || p[-2] != ']') { s->unknown++; return; }
    p -= 3;
    int64_t sequence = 0, scale = 1;
    for (; *p >= '0' && *p <= '9'; p--, scale *= 10) sequence += (*p - '0') * scale;
    p -= 10; /* [:"eulav", is 10 bytes with the bracket; p is now at ']' of time */
    if (*p != ']') { s->unknown++; return; }
    p--;
    int64_t us = 0;
    scale = 1;
    int fraction = 0;
    for (const char *q = p; *q >= '0' && *q <= '9'; q--) fraction++;
    if (p[-fraction] != '.') { us = 0; scale = 1000; }
    else {
        for (int i = fraction; i < 3; i++) scale *= 10;
        for (int i = 0; i < fraction; i++, p--, scale *= 10) us += (*p - '0') * scale;
        p--;
    }
    for (; *p >= '0' && *p <= '9'; p--, scale *= 10) us += (*p - '0') * scale;
    int index = slot(c, metric);
    if (index < 0) { s->unknown++; return; }
    int64_t last = c->last[index];
    if (sequence == last + 1) c->last[index] = sequence;
    else if (sequence > last) { s->lost += sequence - last - 1; c->last[index] = sequence; }
    else if (sequence == last) s->duplicates++;
    else s->disorder++;
    s->events++;
    c->events++;
    int64_t took = arrived_us - us;
    if (took > s->max_us) s->max_us = took;
    s->histogram[bucket(took)]++;
    if (t->wanted >= 0 && last < t->wanted && c->last[index] >= t->wanted) {
        if (c->behind) c->behind--;
        check_done(t, c);
    }
}

static void line(struct thread *t, struct conn *c, const char *p, const char *end, int64_t arrived_us) {
    if (end > p && end[-1] == '\r') end--;
    size_t size = (size_t)(end - p);
    if (!c->ready && (!ready_text[0] || (size >= strlen(ready_text) && memmem(p, size, ready_text, strlen(ready_text)))))
        became_ready(t, c);
    if (size > 6 && memcmp(p, "data: ", 6) == 0) event(t, c, p + 6, end, arrived_us);
    else if (size > 4 && memcmp(p, "id: ", 4) == 0 && size - 4 < ID_BYTES) {
        memcpy(c->last_id, p + 4, size - 4);
        c->last_id[size - 4] = 0;
    } else if (size > 7 && memcmp(p, "event: ", 7) == 0) {
        struct stats *s = &t->stats;
        if (size == 10 && !memcmp(p + 7, "gap", 3)) s->gaps++;
        else if (size == 12 && !memcmp(p + 7, "reset", 5)) s->resets++;
        else if (size == 14 && !memcmp(p + 7, "skipped", 7)) s->skipped++;
        else if (size == 10 && !memcmp(p + 7, "bye", 3)) s->byes++;
    }
}

static void keep(struct conn *c, const char *p, size_t size) {
    if (c->carry_len + size > c->carry_cap) {
        c->carry_cap = (uint32_t)(c->carry_len + size) * 2;
        c->carry = realloc(c->carry, c->carry_cap);
    }
    memcpy(c->carry + c->carry_len, p, size);
    c->carry_len += (uint32_t)size;
}

static void body(struct thread *t, struct conn *c, const char *p, const char *end, int64_t arrived_us) {
    const char *newline;
    while (p < end && (newline = memchr(p, '\n', (size_t)(end - p))) != NULL) {
        if (c->carry_len) {
            keep(c, p, (size_t)(newline - p));
            uint32_t size = c->carry_len;
            c->carry_len = 0;
            line(t, c, c->carry, c->carry + size, arrived_us);
        } else line(t, c, p, newline, arrived_us);
        p = newline + 1;
    }
    if (p < end) keep(c, p, (size_t)(end - p));
}

static void chunks(struct thread *t, struct conn *c, const char *p, const char *end, int64_t arrived_us) {
    while (p < end) {
        if (c->chunk == RAW) { body(t, c, p, end, arrived_us); return; }
        if (c->chunk == SIZE) {
            char d = *p++;
            if (d >= '0' && d <= '9') c->chunk_left = c->chunk_left * 16 + (uint32_t)(d - '0');
            else if ((d | 32) >= 'a' && (d | 32) <= 'f') c->chunk_left = c->chunk_left * 16 + (uint32_t)((d | 32) - 'a' + 10);
            else if (d == '\n') c->chunk = DATA;
        } else if (c->chunk == DATA) {
            size_t size = (size_t)(end - p) < c->chunk_left ? (size_t)(end - p) : c->chunk_left;
            body(t, c, p, p + size, arrived_us);
            p += size;
            c->chunk_left -= (uint32_t)size;
            if (!c->chunk_left) c->chunk = END;
        } else if (*p++ == '\n') c->chunk = SIZE;
    }
}

static void gone(struct thread *t, struct conn *c) {
    t->stats.closed++;
    if (!c->ready) { t->opening--; }
    shut(c);
    start_more(t);
}

static void readable(struct thread *t, struct conn *c, size_t most) {
    ssize_t size = recv(c->fd, t->buffer, most, 0);
    if (size <= 0) {
        if (size == 0 || (errno != EAGAIN && errno != EINTR)) gone(t, c);
        return;
    }
    int64_t arrived_us = real_us();
    t->stats.bytes += size;
    t->stats.reads++;
    char *p = t->buffer, *end = p + size;
    if (c->state == HEADERS) {
        keep(c, p, (size_t)size);
        char *stop = memmem(c->carry, c->carry_len, "\r\n\r\n", 4);
        if (!stop) return;
        *stop = 0;
        size_t rest = c->carry_len - (size_t)(stop + 4 - c->carry);
        if (strncmp(c->carry, "HTTP/1.1 200", 12) != 0) {
            t->stats.refused++;
            gone(t, c);
            return;
        }
        c->chunk = strcasestr(c->carry, "transfer-encoding: chunked") ? SIZE : RAW;
        c->state = BODY;
        p = end - rest;
        c->carry_len = 0;
    }
    chunks(t, c, p, end, arrived_us);
}

/* ---- a thread */

static void begin_wait(struct thread *t) {
    t->done = 0;
    t->done_s = 0;
    for (int i = 0; i < t->count; i++) {
        struct conn *c = &t->conns[i];
        c->counted_down = false;
        c->behind = 0;
        for (uint32_t m = 0; m < c->metrics; m++) c->behind += c->last[m] < t->wanted;
        check_done(t, c);
    }
}

static void obey(struct thread *t, int command) {
    if (command == 'm') {
        memset(&t->stats, 0, sizeof t->stats);
        for (int i = 0; i < t->count; i++) t->conns[i].events = t->conns[i].readings = 0;
    }
    if (command == 'd')
        for (int i = 0; i < t->count; i++) shut(&t->conns[i]);
    if (command == 'w' || command == 'b') begin_wait(t);
    if (command == 'b') {
        t->next = t->opening = t->ready = 0;
        t->first_s = t->ready_s = 0;
        start_more(t);
    }
    sem_post(&t->answered);
}

static void dribble(struct thread *t) {
    for (int i = 0; i < t->count; i++) {
        struct conn *c = &t->conns[i];
        if (c->dribbles && c->ready && c->fd >= 0) readable(t, c, (size_t)dribble_bytes);
    }
}

static void *run(void *argument) {
    struct thread *t = argument;
    struct epoll_event events[512];
    start_more(t);
    for (;;) {
        int n = epoll_wait(t->epoll, events, 512, dribblers ? dribble_ms : 1000);
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            if (!c) {
                uint64_t ignored;
                if (read(t->wake, &ignored, sizeof ignored) < 0) continue;
                int command = atomic_exchange(&t->command, 0);
                if (command == 'q') return NULL;
                if (command) { obey(t, command); break; } /* later events may name connections that are gone */
            } else if (c->fd < 0) continue;
            else if (c->state == CONNECTING) {
                int error = 0;
                socklen_t size = sizeof error;
                getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
                if (error) { t->stats.refused++; gone(t, c); }
                else ask(t, c);
            } else readable(t, c, BUFFER);
        }
        if (dribblers) dribble(t);
    }
}

static void command(int what, int64_t wanted) {
    for (int i = 0; i < threads; i++) {
        uint64_t one = 1;
        pool[i].wanted = wanted;
        atomic_store(&pool[i].command, what);
        if (write(pool[i].wake, &one, sizeof one) < 0) exit(2);
    }
    if (what == 'q') {
        for (int i = 0; i < threads; i++) pthread_join(pool[i].id, NULL);
        return;
    }
    for (int i = 0; i < threads; i++) sem_wait(&pool[i].answered);
}

/* ---- answers */

static double percentile(const int64_t *histogram, int64_t total, double share) {
    int64_t seen = 0, rank = (int64_t)(total * share);
    for (int i = 0; i < BUCKETS; i++)
        if ((seen += histogram[i]) > rank) return bucket_ms(i);
    return 0;
}

static void report(int64_t wanted) {
    static struct stats sum;
    memset(&sum, 0, sizeof sum);
    int64_t least = INT64_MAX, most = 0, missing = 0, low = INT64_MAX, high = 0, latest = 0;
    int ready = 0;
    for (int i = 0; i < threads; i++) {
        struct thread *t = &pool[i];
        const int64_t *from = (const int64_t *)&t->stats;
        int64_t *to = (int64_t *)&sum, greatest = sum.max_us;
        for (size_t k = 0; k < sizeof sum / 8; k++) to[k] += from[k];
        sum.max_us = greatest > t->stats.max_us ? greatest : t->stats.max_us;
        for (int k = 0; k < t->count; k++) {
            struct conn *c = &t->conns[k];
            if (c->stalled || c->dribbles) continue;
            ready += c->ready && c->fd >= 0;
            if (c->events < least) least = c->events;
            if (c->events > most) most = c->events;
            if (c->readings < low) low = c->readings;
            if (c->readings > high) high = c->readings;
            for (uint32_t m = 0; m < c->metrics; m++) {
                if (c->last[m] < wanted) missing += wanted - c->last[m];
                if (c->last[m] > latest) latest = c->last[m];
            }
        }
    }
    int64_t measured = 0;
    for (int i = 0; i < BUCKETS; i++) measured += sum.histogram[i];
    printf("{\"open\":%d,\"events\":%ld,\"bytes\":%ld,\"reads\":%ld,\"lost\":%ld,\"duplicates\":%ld,\"disorder\":%ld,"
           "\"missing\":%ld,\"unknown\":%ld,\"gaps\":%ld,\"resets\":%ld,\"skipped\":%ld,\"byes\":%ld,\"closed\":%ld,"
           "\"refused\":%ld,\"events_min\":%ld,\"events_max\":%ld,\"readings_min\":%ld,\"readings_max\":%ld,"
           "\"latest\":%ld,\"p50_ms\":%.3f,\"p90_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f}\n",
           ready, sum.events, sum.bytes, sum.reads, sum.lost, sum.duplicates, sum.disorder, missing, sum.unknown, sum.gaps,
           sum.resets, sum.skipped, sum.byes, sum.closed, sum.refused, least == INT64_MAX ? 0 : least, most,
           low == INT64_MAX ? 0 : low, high, latest, percentile(sum.histogram, measured, 0.50),
           percentile(sum.histogram, measured, 0.90), percentile(sum.histogram, measured, 0.99), (double)sum.max_us / 1e3);
    fflush(stdout);
}

/* Wait until every thread is ready (or done); print how long it took since the first connection was begun. */
static void await(bool done, double since_s, double limit_s) {
    double deadline = now_s() + limit_s, first = 0, last = 0;
    int total = 0, reached = 0;
    for (;;) {
        total = reached = 0;
        last = 0;
        for (int i = 0; i < threads; i++) {
            struct thread *t = &pool[i];
            total += t->count;
            reached += done ? t->done : t->ready;
            double at = done ? t->done_s : t->ready_s;
            if (at > last) last = at;
            if (t->first_s && (first == 0 || t->first_s < first)) first = t->first_s;
        }
        if (reached >= total || now_s() > deadline) break;
        usleep(500);
    }
    if (since_s > 0) first = since_s;
    printf("{\"connections\":%d,\"reached\":%d,\"seconds\":%.6f}\n", total, reached, reached >= total ? last - first : -1.0);
    fflush(stdout);
}

static void load_targets(const char *file) {
    FILE *in = fopen(file, "r");
    if (!in) { perror(file); exit(2); }
    char *text = NULL;
    size_t room = 0;
    int total = 0;
    struct conn *all = NULL;
    for (ssize_t size; (size = getline(&text, &room, in)) > 0; total++) {
        if (text[size - 1] == '\n') text[size - 1] = 0;
        if ((total & (total - 1)) == 0) all = realloc(all, sizeof *all * (size_t)(total ? total * 2 : 1));
        struct conn *c = &all[total];
        memset(c, 0, sizeof *c);
        c->fd = -1;
        char *numbers = strchr(text, '\t');
        if (numbers) *numbers++ = 0;
        c->path = strdup(text);
        for (char *part = numbers ? strtok(numbers, ",") : NULL; part; part = strtok(NULL, ",")) {
            if ((c->metrics & (c->metrics - 1)) == 0)
                c->metric = realloc(c->metric, sizeof *c->metric * (c->metrics ? c->metrics * 2 : 1));
            c->metric[c->metrics++] = (uint32_t)atoi(part);
        }
        c->last = malloc(sizeof *c->last * (c->metrics + 1));
        for (uint32_t m = 0; m < c->metrics; m++) c->last[m] = base;
        c->stalled = total < stalled;
        c->dribbles = !c->stalled && total < stalled + dribblers;
    }
    fclose(in);
    free(text);
    for (int i = 0; i < threads; i++) {
        struct thread *t = &pool[i];
        t->conns = calloc((size_t)(total / threads + 1), sizeof *t->conns);
        for (int k = i; k < total; k += threads) t->conns[t->count++] = all[k];
    }
    free(all);
}

int main(int count, char **arguments) {
    const char *targets = NULL;
    for (int i = 1; i < count; i++) {
        const char *name = arguments[i], *value = i + 1 < count ? arguments[i + 1] : "";
        if (!strcmp(name, "--conflated")) { conflated = true; continue; }
        i++;
        if (!strcmp(name, "--port")) port = atoi(value);
        else if (!strcmp(name, "--targets")) targets = value;
        else if (!strcmp(name, "--threads")) threads = atoi(value);
        else if (!strcmp(name, "--concurrency")) concurrency = atoi(value);
        else if (!strcmp(name, "--ready")) ready_text = value;
        else if (!strcmp(name, "--header")) header = value;
        else if (!strcmp(name, "--base")) base = atoll(value);
        else if (!strcmp(name, "--rcvbuf")) rcvbuf = atoi(value);
        else if (!strcmp(name, "--stalled")) stalled = atoi(value);
        else if (!strcmp(name, "--dribble")) sscanf(value, "%d,%d,%d", &dribblers, &dribble_bytes, &dribble_ms);
        else { fprintf(stderr, "load: unknown option %s\n", name); return 2; }
    }
    if (!port || !targets || threads < 1 || threads > MAX_THREADS) { fprintf(stderr, "load: --port and --targets\n"); return 2; }
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    load_targets(targets);
    for (int i = 0; i < threads; i++) {
        struct thread *t = &pool[i];
        t->epoll = epoll_create1(0);
        t->wake = eventfd(0, EFD_NONBLOCK);
        t->buffer = malloc(BUFFER);
        t->wanted = -1;
        sem_init(&t->answered, 0, 0);
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
        epoll_ctl(t->epoll, EPOLL_CTL_ADD, t->wake, &e);
        pthread_create(&t->id, NULL, run, t);
    }
    await(false, 0, 60);
    char input[256];
    while (fgets(input, sizeof input, stdin)) {
        long sequence = -1;
        double limit_s = 10;
        if (!strncmp(input, "quit", 4)) break;
        if (!strncmp(input, "mark", 4)) { command('m', -1); printf("{}\n"); fflush(stdout); }
        else if (!strncmp(input, "drop", 4)) { command('d', -1); printf("{}\n"); fflush(stdout); }
        else if (sscanf(input, "report %ld", &sequence) == 1) { command('r', -1); report(sequence); }
        else if (sscanf(input, "wait %ld %lf", &sequence, &limit_s) >= 1) { double at = now_s(); command('w', sequence); await(true, at, limit_s); }
        else if (sscanf(input, "back %ld %lf", &sequence, &limit_s) >= 1) { command('b', sequence); await(true, 0, limit_s); }
        else { printf("{\"error\":\"unknown command\"}\n"); fflush(stdout); }
    }
    command('q', -1);
    return 0;
}
