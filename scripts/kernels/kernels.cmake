# Included after each project() of a build of llama.cpp: what ../llama.cmake leaves out, and, in the project that
# holds the kernels of the processor, changes of ragstack's own. They are written for the release that
# constraints.txt pins; another one is an error here, and -DRAGSTACK_KERNELS=OFF builds it as it comes.
#
# attention.h, heads.h, lanes.h: attention of ragstack's own, which looks at each conversation alone
# (docs/concepts/engine.md).
# positions.h: it knows the positions of what it looks at, where the build is for the processor alone.
# barrier.h: threads learn how long to watch for each other before they sleep.
# product.h, formats.h, words.h: products of ragstack's own of quantised weights and tokens, for few tokens and many.
# q8_k.h: tokens are rounded sixteen numbers at a time for the formats that llama.cpp multiplies itself.
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
#include "ragstack/product.h"
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

function(ragstack_change_waiting_and_products folder)
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
    ragstack_change([[// ggml_compute_forward_mul_mat
]] [[bool ragstack_product(const struct ggml_compute_params * params, struct ggml_tensor * result);
size_t ragstack_product_room(const struct ggml_tensor * weights, const struct ggml_tensor * tokens);

// ggml_compute_forward_mul_mat
]])
    ragstack_change([[    // If tiled is supported, it will execute the full op here and we return
    if (ggml_compute_forward_mul_mat_tiled(params, dst)) {
        return;
    }

    GGML_TENSOR_BINARY_OP_LOCALS

    const int ith = params->ith;
    const int nth = params->nth;

    enum ggml_type           const]] [[    if (ragstack_product(params, dst) || ggml_compute_forward_mul_mat_tiled(params, dst)) {
        return;
    }

    GGML_TENSOR_BINARY_OP_LOCALS

    const int ith = params->ith;
    const int nth = params->nth;

    enum ggml_type           const]])
    ragstack_change([[enum ggml_status ggml_graph_compute(struct ggml_cgraph * cgraph, struct ggml_cplan * cplan) {
    ggml_cpu_init();
]] [[static long ragstack_graphs;  // begun, of all contexts

long ragstack_graph(void);
long ragstack_graph(void) {
    return __atomic_load_n(&ragstack_graphs, __ATOMIC_RELAXED);
}

enum ggml_status ggml_graph_compute(struct ggml_cgraph * cgraph, struct ggml_cplan * cplan) {
    ggml_cpu_init();
    __atomic_add_fetch(&ragstack_graphs, 1, __ATOMIC_RELAXED);
]])
    ragstack_change([[                    } break;
                case GGML_OP_MUL_MAT_ID:
                    {
                        cur = 0;]] [[                        cur = MAX(cur, ragstack_product_room(node->src[0], node->src[1]));
                    } break;
                case GGML_OP_MUL_MAT_ID:
                    {
                        cur = 0;]])
    file(WRITE "${folder}/ggml-cpu.c" "${text}")

    # What is multiplied here stays as it lies in the file.
    ragstack_read("${folder}" repack.cpp)
    ragstack_change([[static const ggml::cpu::tensor_traits * ggml_repack_get_optimal_repack_type(const struct ggml_tensor * cur) {
]] [[extern "C" bool ragstack_multiplies(const ggml_tensor * weights);

static const ggml::cpu::tensor_traits * ggml_repack_get_optimal_repack_type(const struct ggml_tensor * cur) {
    if (ragstack_multiplies(cur)) {
        return nullptr;
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

# The whole of a mask has rows behind those that anyone else sees, and positions in them.
function(ragstack_change_masks folder)
    ragstack_read("${folder}" llama-graph.cpp)
    ragstack_change([[// dedup helpers
]] [[#include "ragstack/positions.h"

// dedup helpers
]])
    ragstack_change([[    // flash attention requires an f16 mask
    const auto type = cparams.flash_attn ? GGML_TYPE_F16 : GGML_TYPE_F32;
]] [[    // flash attention requires an f16 mask
    const auto type = cparams.flash_attn ? GGML_TYPE_F16 : GGML_TYPE_F32;

    if (type == GGML_TYPE_F16 && n_stream == 1 && n_kv % 2 == 0) {
        ggml_tensor * whole = ggml_new_tensor_4d(ctx, type, n_kv, n_tokens + 2, 1, 1);
        ggml_set_input(whole);
        ggml_set_name(whole, RAGSTACK_POSITIONS);
        ggml_tensor * rows = ggml_view_4d(ctx, whole, n_kv, n_tokens, 1, 1,
            whole->nb[1], whole->nb[1]*n_tokens, whole->nb[1]*n_tokens, 0);
        ggml_set_name(rows, "attn_inp_kq_mask");
        return rows;
    }
]])
    file(WRITE "${folder}/llama-graph.cpp" "${text}")

    ragstack_read("${folder}" llama-kv-cache.cpp)
    ragstack_change([[struct args_set_input_kq_mask {
]] [[#include "ragstack/positions.h"

extern "C" LLAMA_API bool ragstack_tells_positions(void);
extern "C" bool ragstack_tells_positions(void) {
    return true;
}

struct args_set_input_kq_mask {
]])
    ragstack_change([[    if (dst->type == GGML_TYPE_F16) {
        set_input_kq_mask_impl<ggml_fp16_t>(]] [=[    if (dst->view_src && strcmp(dst->view_src->name, RAGSTACK_POSITIONS) == 0) {
        const auto & cells = v_cells.at(seq_to_stream[ubatch->seq_id[0][0]]);
        int32_t * positions = (int32_t *) ((char *) dst->data + dst->nb[1]*dst->ne[1]);
        for (int64_t cell = 0; cell < n_kv; ++cell) {
            positions[cell] = cells.is_empty(cell) ? -1 : cells.pos_get(cell);
        }
    }

    if (dst->type == GGML_TYPE_F16) {
        set_input_kq_mask_impl<ggml_fp16_t>(]=])
    file(WRITE "${folder}/llama-kv-cache.cpp" "${text}")
endfunction()

set(RAGSTACK_SOURCES "${CMAKE_CURRENT_SOURCE_DIR}/src/ggml-cpu")
if(RAGSTACK_KERNELS AND PROJECT_NAME STREQUAL "ggml" AND EXISTS "${RAGSTACK_SOURCES}/ops.cpp")
    if(CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
        foreach(RAGSTACK_FILE attention.h barrier.h formats.h heads.h lanes.h positions.h product.h q8_k.h words.h)
            configure_file("${CMAKE_CURRENT_LIST_DIR}/${RAGSTACK_FILE}"
                "${RAGSTACK_SOURCES}/ragstack/${RAGSTACK_FILE}" COPYONLY)
        endforeach()
        ragstack_change_attention("${RAGSTACK_SOURCES}")
        ragstack_change_waiting_and_products("${RAGSTACK_SOURCES}")
        ragstack_change_rounding("${RAGSTACK_SOURCES}")
    else()
        message(STATUS "llama.cpp's kernels stay as they come: its changes are for GCC and Clang")
    endif()
endif()

# Where another device computes too, its masks stay as they come.
set(RAGSTACK_SOURCES "${CMAKE_CURRENT_SOURCE_DIR}/src")
if(RAGSTACK_KERNELS AND PROJECT_NAME STREQUAL "llama.cpp" AND EXISTS "${RAGSTACK_SOURCES}/llama-kv-cache.cpp"
        AND CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang" AND NOT APPLE
        AND NOT (GGML_CUDA OR GGML_HIP OR GGML_MUSA OR GGML_VULKAN OR GGML_SYCL OR GGML_OPENCL OR GGML_CANN
                 OR GGML_WEBGPU OR GGML_RPC))
    configure_file("${CMAKE_CURRENT_LIST_DIR}/positions.h" "${RAGSTACK_SOURCES}/ragstack/positions.h" COPYONLY)
    ragstack_change_masks("${RAGSTACK_SOURCES}")
endif()
