// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What a replay of a pcienic's trace has to know of its registers.
///
///     auto device = uiovfio::open_sim(uiovfio::sim_options(trace.header()));
///     const auto report = uiovfio::replay(trace, device, pcienic::replay_options());

#include <cstdint>
#include <string>

#include "uiovfio/replay.hpp"

namespace pcienic {

/// The register in which that byte of a BAR lies: "SCRATCH", "IRQ_MASK3". Empty where there is none.
std::string register_name(unsigned bar, std::uint64_t offset);

/// Names the registers, and permits to differ what cannot be the same:
/// - what tells how far the DMA engine had come: STATUS.DMA_BUSY, DMA_STATUS, DMA_COMPLETED;
/// - sticky registers (SCRATCH, SCRATCH64), until the trace writes them: what an earlier process left is not known.
uiovfio::ReplayOptions replay_options();

}  // namespace pcienic
