/* Runs a package on an emulated Cortex-M, case by case.
 *
 * Files are the host's, reached through Arm semihosting: `inputs` holds one input after another, `outputs` receives
 * one output after another, `report` five words at the end (struct report). The emulator's loader has placed .data and
 * cleared .bss, so there is nothing to copy before main.
 *
 * The first case is timed by SysTick; the others run on a painted stack. Not both at once, because the interrupt that
 * counts SysTick's wraps would leave its own frame on that stack. */

#include "package.h"
#include <stdint.h>

#define SYSTICK_CONTROL (*(volatile uint32_t *)0xE000E010u)
#define SYSTICK_RELOAD (*(volatile uint32_t *)0xE000E014u)
#define SYSTICK_CURRENT (*(volatile uint32_t *)0xE000E018u)
#define CONFIGURATION_CONTROL (*(volatile uint32_t *)0xE000ED14u)
#define FAULT_STATUS (*(volatile uint32_t *)0xE000ED28u)
#define COPROCESSOR_ACCESS (*(volatile uint32_t *)0xE000ED88u)

#define SYSTICK_ENABLE 1u
#define SYSTICK_INTERRUPT 2u
#define SYSTICK_PROCESSOR_CLOCK 4u
#define SYSTICK_PERIOD 0x1000000u

#define PAINT 0xC5A3C5A3u

extern uint32_t stack_bottom[];
extern uint32_t stack_top[];

void reset(void);
void fault_entry(void);
void fault(const uint32_t *frame);
void systick(void);

enum {
    SEMIHOSTING_OPEN = 0x01,
    SEMIHOSTING_WRITE = 0x05,
    SEMIHOSTING_READ = 0x06,
    SEMIHOSTING_EXIT_EXTENDED = 0x20
};
enum { OPEN_READ_BINARY = 1, OPEN_WRITE_BINARY = 5 };

/* What `report` begins with. */
enum { FINISHED = 0x600D, FAULTED = 0xFA17, NO_FILE = 0xF11E, STACK_OVERFLOWED = 0x0F10 };

/* The words of `report`. After a fault: program counter, fault status and vector in place of the counts. */
struct report {
    uint32_t outcome;
    uint32_t ticks_low;
    uint32_t ticks_high;
    uint32_t stack_bytes;
    uint32_t cases;
};

static volatile uint32_t systick_wraps;

static uint32_t semihosting(uint32_t operation, const void *arguments) {
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = arguments;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory", "cc");
    return r0;
}

static uint32_t open_file(const char *name, uint32_t mode) {
    uint32_t length = 0;
    while (name[length] != 0) {
        length++;
    }
    const uint32_t arguments[3] = {(uint32_t)(uintptr_t)name, mode, length};
    return semihosting(SEMIHOSTING_OPEN, arguments);
}

/* Bytes that were not transferred. */
static uint32_t transfer(uint32_t operation, uint32_t file, const void *bytes, uint32_t count) {
    const uint32_t arguments[3] = {file, (uint32_t)(uintptr_t)bytes, count};
    return semihosting(operation, arguments);
}

static void finish(const struct report *report) {
    const uint32_t file = open_file("report", OPEN_WRITE_BINARY);
    (void)transfer(SEMIHOSTING_WRITE, file, report, sizeof *report);
    const uint32_t exited[2] = {0x20026u, report->outcome == FINISHED ? 0u : 1u};
    (void)semihosting(SEMIHOSTING_EXIT_EXTENDED, exited);
    for (;;) {
    }
}

void systick(void) {
    systick_wraps++;
}

/* Called from assembly only, which link-time optimization does not see. */
__attribute__((used)) void fault(const uint32_t *frame) {
    uint32_t vector;
    __asm__ volatile("mrs %0, ipsr" : "=r"(vector));
    const struct report report = {FAULTED, frame[6], FAULT_STATUS, vector, 0};
    finish(&report);
}

/* Ticks since SysTick started. It counts down, and reads 0 for one tick between the wrap and the reload. */
static uint64_t now(void) {
    for (;;) {
        const uint32_t wraps = systick_wraps;
        const uint32_t current = SYSTICK_CURRENT;
        if (current != 0 && wraps == systick_wraps) {
            return (uint64_t)wraps * SYSTICK_PERIOD + (SYSTICK_PERIOD - 1u - current);
        }
    }
}

/* One case from INPUT(arena). In the frame of who calls it: that is none of the package's stack. The package is called through
 * a pointer that link-time optimization cannot see through, so that its frames stay its own. */
#ifdef PACKAGE_INPUT_ROW_BYTES
static uint8_t image[PACKAGE_INPUT_BYTES];
#define INPUT(arena) image

static inline __attribute__((always_inline)) void run(void *arena) {
    void (*volatile begin)(void *) = PACKAGE_BEGIN;
    uint32_t (*volatile push_row)(void *, const uint8_t *) = PACKAGE_PUSH_ROW;
    begin(arena);
    for (uint32_t byte = 0; byte < PACKAGE_INPUT_BYTES; byte += PACKAGE_INPUT_ROW_BYTES) {
        (void)push_row(arena, image + byte);
    }
}
#else
#define INPUT PACKAGE_INPUT

static inline __attribute__((always_inline)) void run(void *arena) {
    void (*volatile whole)(void *) = PACKAGE_RUN;
    whole(arena);
}
#endif

static uint64_t __attribute__((noinline)) ticks_of(void (*volatile function)(void *), void *arena) {
    SYSTICK_RELOAD = SYSTICK_PERIOD - 1u;
    SYSTICK_CURRENT = 0;
    systick_wraps = 0;
    SYSTICK_CONTROL = SYSTICK_ENABLE | SYSTICK_INTERRUPT | SYSTICK_PROCESSOR_CLOCK;
    const uint64_t start = now();
    function(arena);
    const uint64_t end = now();
    SYSTICK_CONTROL = 0;
    return end - start;
}

#ifdef PACKAGE_LAYERS
/* In place of all that: one case, and in the file `layers` the ticks of each layer, a word each. */

static uint32_t layer_ticks[PACKAGE_LAYERS];
static uint64_t last_layer_done;

void package_step_done(uint32_t layer) {
    const uint64_t time = now();
    layer_ticks[layer] += (uint32_t)(time - last_layer_done);
    last_layer_done = now();
}

static void run_layers(void *arena) {
    last_layer_done = now();
    run(arena);
}

static void run_cases(void) {
    const uint32_t inputs = open_file("inputs", OPEN_READ_BINARY);
    const uint32_t layers = open_file("layers", OPEN_WRITE_BINARY);
    struct report report = {FINISHED, 0, 0, 0, 1};
    void *const arena = PACKAGE_ARENA;
    if (transfer(SEMIHOSTING_READ, inputs, INPUT(arena), PACKAGE_INPUT_BYTES) != 0) {
        report.outcome = NO_FILE;
    }
    (void)ticks_of(run_layers, arena);
    if (transfer(SEMIHOSTING_WRITE, layers, layer_ticks, sizeof layer_ticks) != 0) {
        report.outcome = NO_FILE;
    }
    finish(&report);
}
#else
#ifdef PACKAGE_INPUT_ROW_BYTES
static void run_case(void *arena) {
    run(arena);
}
#else
#define run_case PACKAGE_RUN
#endif

static void nothing(void *arena) {
    (void)arena;
}

/* Bytes below the stack pointer at the call that the model wrote to. */
static uint32_t __attribute__((noinline)) stack_of(void *arena) {
    volatile uint32_t *pointer;
    __asm__ volatile("mov %0, sp" : "=r"(pointer));
    for (volatile uint32_t *word = stack_bottom; word < pointer; word++) {
        *word = PAINT;
    }
    run(arena);
    const volatile uint32_t *lowest = stack_bottom;
    while (lowest < pointer && *lowest == PAINT) {
        lowest++;
    }
    return (uint32_t)((uintptr_t)pointer - (uintptr_t)lowest);
}

static void run_cases(void) {
    const uint32_t inputs = open_file("inputs", OPEN_READ_BINARY);
    const uint32_t outputs = open_file("outputs", OPEN_WRITE_BINARY);
    struct report report = {FINISHED, 0, 0, 0, 0};
    void *const arena = PACKAGE_ARENA;
    while (transfer(SEMIHOSTING_READ, inputs, INPUT(arena), PACKAGE_INPUT_BYTES) == 0) {
        if (report.cases == 0) {
            const uint64_t overhead = ticks_of(nothing, arena);
            const uint64_t ticks = ticks_of(run_case, arena) - overhead;
            report.ticks_low = (uint32_t)ticks;
            report.ticks_high = (uint32_t)(ticks >> 32);
        } else {
            const uint32_t stack_bytes = stack_of(arena);
            if (stack_bytes > report.stack_bytes) {
                report.stack_bytes = stack_bytes;
            }
            if (*(volatile uint32_t *)stack_bottom != PAINT) {
                report.outcome = STACK_OVERFLOWED;
                break;
            }
        }
        if (transfer(SEMIHOSTING_WRITE, outputs, PACKAGE_OUTPUT(arena), PACKAGE_OUTPUT_BYTES) != 0) {
            report.outcome = NO_FILE;
            break;
        }
        report.cases++;
    }
    finish(&report);
}
#endif

void reset(void) {
    /* The floating-point unit, where the core has one: a compiler may keep integers in its registers. */
    COPROCESSOR_ACCESS |= 0xFu << 20;
#ifdef TRAP_UNALIGNED
    CONFIGURATION_CONTROL |= 1u << 3;
#endif
    __asm__ volatile("dsb\n\tisb" ::: "memory");
    run_cases();
}

/* The frame that the exception pushed lies at the stack pointer. */
__attribute__((naked)) void fault_entry(void) {
    __asm__ volatile("mov r0, sp\n\tldr r1, =fault\n\tbx r1\n\t.ltorg");
}

__attribute__((section(".vectors"), used)) static void (*const vectors[16])(void) = {
    (void (*)(void))(uintptr_t)stack_top,
    reset,
    fault_entry,
    fault_entry,
    fault_entry,
    fault_entry,
    fault_entry,
    fault_entry,
    fault_entry,
    fault_entry,
    fault_entry,
    fault_entry,
    fault_entry,
    fault_entry,
    fault_entry,
    systick,
};
