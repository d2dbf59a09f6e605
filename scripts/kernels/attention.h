// Which cells of llama.cpp's cache the rows of a step look at. kernels.cmake puts it into `ops.cpp`.
//
// One cache holds all conversations, so most of what lies in it is masked for any one row. llama.cpp's attention
// looks at every cell's mask for every row and head, one by one, and computes 64 rows together at everything that
// one of them looks at: a row that writes beside rows that read makes all of them look at two conversations.

#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

namespace ragstack {

constexpr uint16_t MASKED = 0xFC00;  // minus infinity in half precision
constexpr uint64_t FOUR_MASKED = 0xFC00FC00FC00FC00u;
constexpr int64_t BLOCK = 64;  // cells
constexpr int64_t WORD = 64;   // blocks, a bit each
constexpr int FEW_ROWS = 16;   // so few at one conversation are quicker one by one
constexpr int ALIKE = 2;       // blocks that the next token of a conversation may look at more, or less

// Whether any cell of a block is not masked.
inline bool seen_in(const uint16_t * block) {
    uint64_t seen = 0;
    for (int64_t cell = 0; cell < BLOCK; cell += 4) {
        uint64_t four;
        memcpy(&four, block + cell, sizeof(four));
        seen |= four ^ FOUR_MASKED;
    }
    return seen != 0;
}

// The first cell from `cell` on that is not masked, or `end`.
inline int64_t next_seen(const uint16_t * row, int64_t cell, int64_t end) {
    while (cell < end && row[cell] == MASKED) {
        cell += cell + BLOCK <= end && !seen_in(row + cell) ? BLOCK : 1;
    }
    return cell;
}

// The blocks that each row of a step looks at, found once for all heads of a layer. One thread's own.
class Looks {
  public:
    // Forgets the masks: the next layer's may lie in the same place.
    void forget() { mask_ = nullptr; }

    // Turns to a mask: `rows` rows of `cells` cells, each row `stride` bytes behind the one before.
    void turn_to(const void * mask, size_t stride, int64_t rows, int64_t cells) {
        if (mask == mask_) {
            return;
        }
        mask_ = static_cast<const char *>(mask);
        stride_ = stride;
        cells_ = cells;
        words_ = (cells + BLOCK * WORD - 1) / (BLOCK * WORD);
        known_.assign(rows, false);
        bits_.assign(rows * words_, 0);
    }

    // How many rows from `row` on, of `most`, look at nearly the same blocks; `at` tells of these from now on.
    int together(int64_t row, int most) {
        const uint64_t * before = bits(row);
        all_.assign(before, before + words_);
        int count = 1;
        for (; count < most; ++count) {
            const uint64_t * next = bits(row + count);
            if (differ(before, next) > ALIKE) {
                break;
            }
            for (int64_t word = 0; word < words_; ++word) {
                all_[word] |= next[word];
            }
            before = next;
        }
        return count;
    }

    // Whether one of them looks at the block of a cell.
    bool at(int64_t cell) const {
        const int64_t block = cell / BLOCK;
        return all_[block / WORD] >> (block % WORD) & 1;
    }

  private:
    const uint64_t * bits(int64_t row) {
        uint64_t * found = bits_.data() + row * words_;
        if (!known_[row]) {
            known_[row] = true;
            const uint16_t * cells = reinterpret_cast<const uint16_t *>(mask_ + row * stride_);
            for (int64_t cell = 0; cell < cells_; cell += BLOCK) {
                const bool whole = cell + BLOCK <= cells_;
                const bool seen = whole ? seen_in(cells + cell) : next_seen(cells, cell, cells_) < cells_;
                const int64_t block = cell / BLOCK;
                found[block / WORD] |= uint64_t(seen) << (block % WORD);
            }
        }
        return found;
    }

    int differ(const uint64_t * one, const uint64_t * other) const {
        int count = 0;
        for (int64_t word = 0; word < words_; ++word) {
            count += __builtin_popcountll(one[word] ^ other[word]);
        }
        return count;
    }

    const char * mask_ = nullptr;
    size_t stride_ = 0;
    int64_t cells_ = 0;
    int64_t words_ = 0;
    std::vector<bool> known_;
    std::vector<uint64_t> bits_;  // of each row, by blocks
    std::vector<uint64_t> all_;   // of the rows that are together
};

inline Looks & looks() {
    static thread_local Looks own;
    return own;
}

}  // namespace ragstack

// By this name ragstack's engine knows that a row costs what it looks at itself.
extern "C" __attribute__((visibility("default"))) int ragstack_kernels();

int ragstack_kernels() {
    return 1;
}
