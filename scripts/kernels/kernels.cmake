# Included after each project() of a build of llama.cpp: what ../llama.cmake leaves out, and, in the project that
# holds the kernels of the processor, changes of ragstack's own. They are written for the release that
# constraints.txt pins; another one is an error here, and -DRAGSTACK_KERNELS=OFF builds it as it comes.
#
# attention.h, heads.h, lanes.h: attention of ragstack's own, which looks at each conversation alone
# (docs/concepts/engine.md).
# barrier.h: threads learn how long to watch for each other before they sleep.
# product.h, q4_k.h: many tokens by weights that lie interleaved go through llama.cpp's own quicker product.
# q8_k.h: tokens are rounded for it sixteen numbers at a time.
include("${CMAKE_CURRENT_LIST_DIR}/../llama.cmake")

option(RAGSTACK_KERNELS "Change llama.cpp's kernels for the processor" ON)

# Puts another text in the place of one that `text` has exactly once.
function(ragstack_change old new)
    string(FIND "${text}" "${old}" first)
    string(FIND "${text}" "${old}" last REVERSE)
    if(first EQUAL -1 OR NOT first EQUAL last)
        message(FATAL_ERROR
            "ragstack's changes do not fit this llama.cpp; this is not in it, or more than once:\n${old}\n"
            "-DRAGSTACK_KERNELS=OFF in CMAKE_ARGS builds it without them")
    endif()
    string(REPLACE "${old}" "${new}" text "${text}")
    set(text "${text}" PARENT_SCOPE)
endfunction()

# Reads a file into `text` as it came, also where an earlier try has changed it.
function(ragstack_read folder file)
    if(NOT EXISTS "${folder}/ragstack/${file}")
        configure_file("${folder}/${file}" "${folder}/ragstack/${file}" COPYONLY)
    endif()
    file(READ "${folder}/ragstack/${file}" text)
    set(text "${text}" PARENT_SCOPE)
endfunction()

function(ragstack_change_attention folder)
    ragstack_read("${folder}" ops.cpp)
    ragstack_change([[#include "vec.h"
]] [[#include "vec.h"
#include "ragstack/attention.h"
]])
    ragstack_change([[    const bool use_ref = params->use_ref;
]] [[    const bool use_ref = params->use_ref;
    if (ragstack::attend(params, dst)) {
        return;
    }
]])
    # What ragstack's own does not compute: past what is masked in one go.
    ragstack_change([[            const float mv = mp ? slope]] [[            if (mp) {
                ic = ragstack::next_seen(mp, ic, ic_end);
                if (ic == ic_end) {
                    break;
                }
            }
            const float mv = mp ? slope]])
    file(WRITE "${folder}/ops.cpp" "${text}")
endfunction()

function(ragstack_change_waiting folder)
    ragstack_read("${folder}" ggml-cpu.c)
    ragstack_change([[//
// NUMA support
//

#define]] [[#include "ragstack/barrier.h"

//
// NUMA support
//

#define]])
    ragstack_change([[#ifdef GGML_USE_OPENMP
    #pragma omp barrier]] [[#ifdef RAGSTACK_BARRIER
    ragstack_barrier(&tp->n_barrier, &tp->n_barrier_passed, n_threads);
#elif defined(GGML_USE_OPENMP)
    #pragma omp barrier]])
    file(WRITE "${folder}/ggml-cpu.c" "${text}")
endfunction()

function(ragstack_change_product folder)
    ragstack_read("${folder}" tiled/tiled.cpp)
    ragstack_change([[#define UNUSED GGML_UNUSED
]] [[#define UNUSED GGML_UNUSED
#include "ragstack/q4_k.h"
]])
    ragstack_change([[const B * wbase = (const B *) (src0_row + ir0 * nb01 + kstart * src0_bs);]]
        [[const B * wbase = tiled_src0_at<B>(src0_row, ir0, nb01, kstart, src0_bs);]])
    ragstack_change([[(const B *) (src0_row + iir0 * nb01 + kblk * src0_bs)]]
        [[tiled_src0_at<B>(src0_row, iir0, nb01, kblk, src0_bs)]])
    # Eight rows are not torn apart.
    ragstack_change([[const int64_t dr0 = (nr0 + nchunk0 - 1) / nchunk0;]]
        [[const int64_t dr0 = GGML_PAD((nr0 + nchunk0 - 1) / nchunk0, TILED_MICRO);]])
    ragstack_change([[// src0 type dispatch, shared]]
        [[bool ragstack::product(const ggml_compute_params * params, ggml_tensor * result) {
    static_assert(ragstack::WORKSPACE == TILED_WS_SLOT, "the tiles of a thread have another size");
    if (ggml_tiled_matmul_enabled()) {
        ggml_compute_forward_mul_mat_tiled_driver<ragstack::EightRows, 32, true, 0, false>(params, result);
        return true;
    }
    return false;
}

// src0 type dispatch, shared]])
    file(WRITE "${folder}/tiled/tiled.cpp" "${text}")

    ragstack_read("${folder}" repack.cpp)
    ragstack_change([[#include "repack.h"
]] [[#include "repack.h"
#include "ragstack/product.h"
]])
    ragstack_change([[bool work_size(int /* n_threads */, const]] [[bool work_size(int n_threads, const]])
    ragstack_change([[                    size = ggml_row_size(PARAM_TYPE, ggml_nelements(op->src[1]));
                    return true;]] [[                    size = ragstack::workspace(ggml_row_size(PARAM_TYPE, ggml_nelements(op->src[1])), n_threads);
                    return true;]])
    ragstack_change([[    void forward_mul_mat(ggml_compute_params * params, ggml_tensor * op) {
]] [[    void forward_mul_mat(ggml_compute_params * params, ggml_tensor * op) {
        if constexpr (std::is_same_v<BLOC_TYPE, block_q4_K> && INTER_SIZE == 8 && NB_COLS == 8) {
            if (op->src[1]->ne[1] >= ragstack::MANY_TOKENS && ragstack::product(params, op)) {
                return;
            }
        }
]])
    file(WRITE "${folder}/repack.cpp" "${text}")
endfunction()

function(ragstack_change_rounding folder)
    ragstack_read("${folder}" arch/x86/quants.c)
    ragstack_change([[void quantize_row_q8_K(const float * GGML_RESTRICT x, void * GGML_RESTRICT y, int64_t k) {
    quantize_row_q8_K_ref(]] [[#include "ragstack/q8_k.h"

void quantize_row_q8_K(const float * GGML_RESTRICT x, void * GGML_RESTRICT y, int64_t k) {
    ragstack_quantize_row_q8_K(]])
    file(WRITE "${folder}/arch/x86/quants.c" "${text}")
endfunction()

set(RAGSTACK_SOURCES "${CMAKE_CURRENT_SOURCE_DIR}/src/ggml-cpu")
if(RAGSTACK_KERNELS AND PROJECT_NAME STREQUAL "ggml" AND EXISTS "${RAGSTACK_SOURCES}/ops.cpp")
    if(CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
        foreach(RAGSTACK_FILE attention.h barrier.h heads.h lanes.h product.h q4_k.h q8_k.h)
            configure_file("${CMAKE_CURRENT_LIST_DIR}/${RAGSTACK_FILE}"
                "${RAGSTACK_SOURCES}/ragstack/${RAGSTACK_FILE}" COPYONLY)
        endforeach()
        ragstack_change_attention("${RAGSTACK_SOURCES}")
        ragstack_change_waiting("${RAGSTACK_SOURCES}")
        ragstack_change_product("${RAGSTACK_SOURCES}")
        ragstack_change_rounding("${RAGSTACK_SOURCES}")
    else()
        message(STATUS "llama.cpp's kernels stay as they come: its changes are for GCC and Clang")
    endif()
endif()
