// SPDX-License-Identifier: MIT
#include "isolation.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <list>
#include <new>
#include <utility>

#include "uiovfio/sim.hpp"

namespace pcienic::ctl {
namespace {

/// The kernel's, by which the pagemap counts.
const std::size_t kPage = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
constexpr std::chrono::seconds kPatience{30};
constexpr int kPlaces = 16;  // pages that are tried until one has an address that can be mapped

/// A page of its own, in memory from the start.
class Page {
  public:
    Page()
        : at_{static_cast<std::byte*>(
              ::mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0))} {
        if (at_ == MAP_FAILED) throw std::bad_alloc{};
    }
    ~Page() { ::munmap(at_, kPage); }
    Page(const Page&) = delete;
    Page& operator=(const Page&) = delete;

    [[nodiscard]] std::span<std::byte> bytes() const noexcept { return {at_, kPage}; }

  private:
    std::byte* at_;
};

/// A page, pinned, and what the device may know of it.
struct Place {
    Page page;
    std::uint64_t address = 0;           ///< physical
    uiovfio::DmaMapping at_its_address;  ///< where the device may reach it
    uiovfio::DmaMapping elsewhere;       ///< what pins a page that it may not

    [[nodiscard]] std::span<std::byte> bytes() const noexcept { return page.bytes(); }
};

/// There is nothing to be found out.
struct Unknown {
    std::string what;
    std::string remedy;
};

void fill(std::span<std::byte> bytes, std::uint8_t seed) {
    std::uint32_t state = 0x9e3779b9U + seed;
    for (std::byte& byte : bytes) {
        state = state * 1664525U + 1013904223U;
        byte = static_cast<std::byte>(state >> 24U);
    }
}

using Bytes = std::vector<std::byte>;

Bytes filled(const Place& place, std::uint8_t seed) {
    fill(place.bytes(), seed);
    return {place.bytes().begin(), place.bytes().end()};
}

class Experiment {
  public:
    Experiment(Driver& driver, const PhysicalAddress& physical) : driver_{driver}, physical_{physical} {}

    Proof run() {
        const Place& rings = place(true, false);
        const Place& source = place(true, false);
        const Place& destination = place(true, false);
        const Place& other = place(false, true);
        Place& unmapped_later = place(true, true);
        DmaEngine engine = driver_.make_dma({.entries = 2, .memory = &rings.at_its_address});
        engine_ = &engine;
        if (!copies_what_is_mapped(source, destination)) {
            throw Unknown{
                "the device's DMA engine does not copy within the memory that is mapped for it, so what it "
                "cannot reach says nothing",
                "see `pcienic-ctl info` for the device's error"};
        }
        const bool is_isolated = keeps_out(other, "a page mapped at another address", source, destination) &&
                                 ends_with_its_mapping(unmapped_later, source, destination);
        proof_.what = is_isolated
                          ? "the device reached nothing but what is mapped for it"
                          : "the device reached memory that is not mapped for it: the IOMMU takes mappings, and "
                            "does not enforce them";
        proof_.outcome = is_isolated ? Proof::Outcome::isolated : Proof::Outcome::exposed;
        if (!is_isolated)
            proof_.remedy =
                "do not give this device to a program that is not trusted with all of memory; have the IOMMU translate "
                "(QEMU 11's amd-iommu: dma-remap=on)";
        return proof_;
    }

    Proof unknown(Unknown why) {
        proof_.outcome = Proof::Outcome::unknown;
        proof_.what = std::move(why.what);
        proof_.remedy = std::move(why.remedy);
        return proof_;
    }

  private:
    /// A page that lies where it can be mapped as wanted. Pages that do not are kept, so that the next is another one.
    Place& place(bool at_its_address, bool elsewhere) {
        for (int attempt = 0; attempt < kPlaces; ++attempt) {
            Place& made = places_.emplace_back();
            std::error_code ec;
            made.address = address_of(made);
            if (at_its_address) made.at_its_address = map(made, uiovfio::Iova{made.address}, ec);
            if (!ec && elsewhere) made.elsewhere = map(made, std::nullopt, ec);
            // Pinning may have moved it.
            if (!ec && address_of(made) == made.address &&
                (!elsewhere || to_integer(made.elsewhere.iova()) != made.address))
                return made;
            made.elsewhere.unmap();
            made.at_its_address.unmap();
        }
        throw Unknown{"no page of this process lies where the IOMMU translates addresses",
                      "try again; see the bus addresses above"};
    }

    std::uint64_t address_of(const Place& place) {
        if (const auto address = physical_(place.bytes())) return *address;
        throw Unknown{
            "the physical addresses of this process's pages cannot be seen, and without them a trial could write "
            "where it must not",
            "run as root: /proc/self/pagemap asks for the capability CAP_SYS_ADMIN"};
    }

    // An address that cannot be mapped is a reason to take another page. Anything else is none.
    uiovfio::DmaMapping map(const Place& place, std::optional<uiovfio::Iova> iova, std::error_code& ec) {
        auto mapping = driver_.device().dma().map(place.bytes(), {.iova = iova}, ec);
        if (ec && ec != uiovfio::Errc::iova_out_of_aperture && ec != uiovfio::Errc::mapping_overlap)
            return driver_.device().dma().map(place.bytes(), {.iova = iova});  // throws, with all that is known
        return mapping;
    }

    Result copy(std::uint64_t from, std::uint64_t to) {
        const Result result = engine_->run(
            pcienic::copy(uiovfio::Iova{from}, uiovfio::Iova{to}, static_cast<std::uint32_t>(kPage)), kPatience);
        const bool is_refusal = result.code == Errc::source_fault || result.code == Errc::destination_fault;
        if (result.code && !is_refusal)
            throw Unknown{fmt::format("the DMA engine failed: {}", to_string(result)),
                          "reset the device with `pcienic-ctl reset`, and try again"};
        return result;
    }

    bool note(std::string what, std::uint64_t address, std::string seen, bool held) {
        proof_.trials.push_back({.what = std::move(what), .address = address, .seen = std::move(seen), .held = held});
        return held;
    }

    /// That nothing happened shows that the device was kept out only if it was refused.
    bool note_kept_out(std::string what, std::uint64_t address, std::string seen, bool is_refused, bool is_kept) {
        const bool held = note(std::move(what), address, std::move(seen), is_refused && is_kept);
        if (is_kept && !is_refused)
            throw Unknown{
                "the device's DMA engine was done without an error, and nothing arrived: neither that it "
                "reached the page nor that it was kept out",
                "reset the device with `pcienic-ctl reset`, and try again"};
        return held;
    }

    bool copies_what_is_mapped(const Place& source, const Place& destination) {
        const Bytes sent = filled(source, 1);
        fill(destination.bytes(), 2);
        const Result result = copy(source.address, destination.address);
        const bool arrived = std::ranges::equal(destination.bytes(), sent);
        return note(
            "copy within what is mapped", source.address,
            result.code ? "refused" : (arrived ? "done, and the bytes arrived" : "done, and the bytes did not arrive"),
            !result.code && arrived);
    }

    bool keeps_out(const Place& page, const std::string& name, const Place& source, const Place& destination) {
        return is_not_read(page, name, destination) && is_not_written(page, name, source);
    }

    bool is_not_read(const Place& page, const std::string& name, const Place& destination) {
        const Bytes secret = filled(page, 3);
        const Bytes before = filled(destination, 4);
        const Result result = copy(page.address, destination.address);
        const bool is_kept = std::ranges::equal(destination.bytes(), before);
        const bool is_read = std::ranges::equal(destination.bytes(), secret);
        std::string seen = result.code ? "refused" : "done";
        seen += is_read   ? ", and the device has the page's bytes"
                : is_kept ? ", and nothing arrived"
                          : ", and other bytes arrived";
        return note_kept_out(fmt::format("read {} by its physical address", name), page.address, std::move(seen),
                             static_cast<bool>(result.code), is_kept);
    }

    bool is_not_written(const Place& page, const std::string& name, const Place& source) {
        const Bytes before = filled(page, 5);
        fill(source.bytes(), 6);
        const Result result = copy(source.address, page.address);
        const bool is_kept = std::ranges::equal(page.bytes(), before);
        std::string seen = result.code ? "refused" : "done";
        seen += is_kept ? ", and the page kept its bytes" : ", and the page was written";
        return note_kept_out(fmt::format("write {} by its physical address", name), page.address, std::move(seen),
                             static_cast<bool>(result.code), is_kept);
    }

    // The IOMMU has seen this address, and must forget it.
    bool ends_with_its_mapping(Place& page, const Place& source, const Place& destination) {
        const Bytes sent = filled(page, 7);
        copy(page.address, destination.address);
        const bool was_read = std::ranges::equal(destination.bytes(), sent);
        if (!note("read a page while it is mapped", page.address,
                  was_read ? "done, and the bytes arrived" : "the bytes did not arrive", was_read))
            throw Unknown{"the DMA engine reads one mapping and not the other", "try again"};
        page.at_its_address.unmap();
        return keeps_out(page, "that page, no longer mapped,", source, destination);
    }

    Driver& driver_;
    const PhysicalAddress& physical_;
    std::list<Place> places_;
    DmaEngine* engine_ = nullptr;
    Proof proof_;
};

}  // namespace

std::string_view to_string(Proof::Outcome outcome) noexcept {
    switch (outcome) {
        case Proof::Outcome::isolated:
            return "isolated";
        case Proof::Outcome::exposed:
            return "exposed";
        case Proof::Outcome::unknown:
            break;
    }
    return "unknown";
}

// Documentation/admin-guide/mm/pagemap.rst: 8 bytes a page; bit 63, present; bits 0 to 54, the page frame's number,
// which is 0 to a process without CAP_SYS_ADMIN.
PhysicalAddress physical_addresses(const uiovfio::SysfsRoot& root) {
    return [file = (root.proc / "self/pagemap").string()](std::span<std::byte> page) -> std::optional<std::uint64_t> {
        const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
        if (descriptor < 0) return std::nullopt;
        std::uint64_t entry = 0;
        const auto number = reinterpret_cast<std::uintptr_t>(page.data()) / kPage;
        const auto length = ::pread(descriptor, &entry, sizeof entry, static_cast<off_t>(number * sizeof entry));
        ::close(descriptor);
        const std::uint64_t frame = entry & ((std::uint64_t{1} << 55U) - 1);
        if (length != sizeof entry || entry >> 63U == 0 || frame == 0) return std::nullopt;
        return frame * kPage;
    };
}

PhysicalAddress physical_addresses(const uiovfio::Device& simulated) {
    return [&simulated](std::span<std::byte> page) -> std::optional<std::uint64_t> {
        return uiovfio::sim::physical_address(simulated, page);
    };
}

Proof prove_isolation(Driver& driver, const PhysicalAddress& physical) {
    if (!driver.device().can(uiovfio::Feature::dma))
        return {
            .outcome = Proof::Outcome::exposed,
            .what = fmt::format("through {} there is no IOMMU between the device and memory: once it is a bus master, "
                                "it reaches all of it",
                                driver.device().backend()),
            .remedy = "turn the IOMMU on, and use vfio or iommufd"};
    Experiment experiment{driver, physical};
    try {
        return experiment.run();
    } catch (Unknown& why) {
        return experiment.unknown(std::move(why));
    }
}

}  // namespace pcienic::ctl
