// SPDX-License-Identifier: MIT
// dma copy, dma fill, dma verify
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iterator>
#include <ostream>
#include <span>

#include "cli/input.hpp"
#include "cli/number.hpp"
#include "operation.hpp"
#include "transfer.hpp"

namespace pcienic::ctl {
namespace {

using cli::Exit;
using cli::Failure;
using cli::Json;
using std::chrono::nanoseconds;

/// FNV-1a over 8-byte words: fast enough for a guest without KVM, and any changed or moved word changes it.
std::uint64_t checksum(std::span<const std::byte> bytes) {
    std::uint64_t sum = 0xcbf29ce484222325;
    for (std::size_t at = 0; at < bytes.size(); at += 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, bytes.data() + at, std::min<std::size_t>(8, bytes.size() - at));
        sum = (sum ^ word) * 0x100000001b3;
        sum ^= sum >> 29;
    }
    return sum;
}

/// Bytes that repeat nowhere near a page or a chunk, so that a misplaced piece shows.
void fill_with_noise(std::span<std::byte> bytes) {
    std::uint64_t state = 0x9e3779b97f4a7c15;
    for (std::size_t at = 0; at < bytes.size(); at += 8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        std::memcpy(bytes.data() + at, &state, std::min<std::size_t>(8, bytes.size() - at));
    }
}

void fill_with_pattern(std::span<std::byte> bytes, std::uint64_t pattern) {
    for (std::size_t at = 0; at < bytes.size(); at += 8) {
        std::memcpy(bytes.data() + at, &pattern, std::min<std::size_t>(8, bytes.size() - at));
    }
}

class Dma : public Operation {
  public:
    void add_options(cli::Options& options) {
        options.add_option("operation", what_, "copy, fill, or verify (host to device and back, compared)")
            .required()
            .type_name("OPERATION")
            .one_of({"copy", "fill", "verify"});
        options
            .add_option("--direction", direction_,
                        "copy: host-to-device, device-to-host or host-to-host; fill: host or device")
            .type_name("DIRECTION")
            .one_of({"host-to-device", "device-to-host", "host-to-host", "host", "device"});
        options.add_option("--size", size_text_, "Bytes; default 1M").type_name("N");
        options.add_option("--offset", offset_text_, "Offset in device memory; default 0").type_name("N");
        options.add_option("--pattern", pattern_text_, "fill: the 8 bytes to repeat; default 0x0123456789abcdef")
            .type_name("V");
        options.add_option("--in", in_, "Take the host's bytes from this file, rather than noise").type_name("FILE");
        options.add_option("--out", out_, "Save what arrived in the host's memory to this file").type_name("FILE");
        options.add_option("--vector", vector_text_, "Have this MSI-X vector announce completions, rather than poll")
            .type_name("N");
        options.add_option("--timeout", timeout_text_, "For each piece of 1 MiB; default 30s").type_name("TIME");
    }

    void prepare(Session& session) override {
        refuse_unless(what_ != "verify" || direction_.empty(), "--direction");
        if (direction_.empty()) direction_ = what_ == "fill" ? "device" : "host-to-device";
        const bool is_target = direction_ == "host" || direction_ == "device";
        if (what_ != "verify" && is_target != (what_ == "fill")) {
            throw Failure{Exit::usage, fmt::format("dma {}: --direction {} is not for it: see pcienic-ctl dma --help",
                                                   what_, direction_)};
        }
        const bool is_within_host = what_ != "verify" && (direction_ == "host-to-host" || direction_ == "host");
        const bool sends = what_ != "fill" && direction_ != "device-to-host";
        const bool receives = what_ == "verify" || direction_ != "host-to-device";
        refuse_unless(what_ == "fill" || pattern_text_.empty(), "--pattern");
        refuse_unless(sends || in_.empty(), "--in");
        refuse_unless(receives || out_.empty(), "--out");
        refuse_unless(!is_within_host || offset_text_.empty(), "--offset");
        refuse_unless(in_.empty() || size_text_.empty(), "--size beside --in, whose file has a size");
        cli::refuse_same_file(in_, out_);
        if (!size_text_.empty()) size_ = cli::parse_number(size_text_);
        if (!offset_text_.empty()) offset_ = cli::parse_number(offset_text_);
        if (!pattern_text_.empty()) pattern_ = cli::parse_number(pattern_text_);
        timeout_ = cli::parse_duration(timeout_text_);
        if (!vector_text_.empty()) vector_ = cli::parse_index(vector_text_, kMaxVectors - 1);
        if (!in_.empty()) read_input();
        if (size_ == 0) throw Failure{Exit::usage, "dma: --size 0 moves nothing: give at least 1"};
        session.require_pcienic();
    }

    void explain(Session& session) override {
        session.would({fmt::format("{} {} bytes by DMA, {}, at offset {:#x} of device memory", what_, size_, direction_,
                                   offset_)},
                      session.device_json());
    }

    Exit run(Session& session) override {
        Driver& driver = session.driver();
        check_range(driver.identity());
        EngineOptions engine_options{.entries = 64};
        if (vector_) {
            if (const unsigned count = driver.identity().vectors; *vector_ >= count) {
                throw Failure{Exit::usage, fmt::format("dma: --vector {}: the device has {}: choose one from 0 to {}",
                                                       *vector_, count, count - 1)};
            }
            driver.enable_interrupts(uiovfio::InterruptMode::msix);
            engine_options.vector = static_cast<std::uint16_t>(*vector_);
        }
        DmaEngine engine = driver.make_dma(engine_options);
        const Json row = what_ == "copy"   ? copy(session, engine)
                         : what_ == "fill" ? fill(session, engine)
                                           : verify(session, engine);
        session.emit({.schema = "pcienic.dma/1",
                      .device = session.device_json(),
                      .rows = Json::array({row}),
                      .raw_key = "checksum_hex",
                      .line = text});
        if (row["verified"] == false) {
            throw Failure{Exit::check_failed, fmt::format("dma {}: what arrived is not what was sent (checksum {})",
                                                          what_, row["checksum_hex"].get<std::string>())};
        }
        return Exit::ok;
    }

  private:
    void refuse_unless(bool has_a_use, std::string_view option) const {
        if (has_a_use) return;
        throw Failure{Exit::usage, fmt::format("dma {}, {}: has no use for {}: see pcienic-ctl dma --help", what_,
                                               direction_, option)};
    }

    void read_input() {
        constexpr std::size_t kMost = std::size_t{1} << 30;
        input_ = cli::read_file(in_, kMost);
        size_ = input_.size();
    }

    void check_range(const Identity& identity) const {
        const bool uses_device = direction_ != "host-to-host" && direction_ != "host";
        if (!uses_device || (offset_ <= identity.memory_size && size_ <= identity.memory_size - offset_)) return;
        throw Failure{
            Exit::usage,
            fmt::format(
                "dma: {} bytes at offset {:#x} do not fit into the {} bytes of device memory: use a smaller --size",
                size_, offset_, identity.memory_size)};
    }

    /// Host memory for the transfer; `source` memory has the bytes to send.
    uiovfio::DmaBuffer host_memory(Session& session, bool source) const {
        uiovfio::DmaBuffer buffer = session.device().dma().allocate(size_);
        const std::span<std::byte> bytes = buffer.bytes().first(size_);
        if (source && !input_.empty()) {
            std::memcpy(bytes.data(), input_.data(), bytes.size());
        } else if (source) {
            fill_with_noise(bytes);
        }
        return buffer;
    }

    [[nodiscard]] DeviceOffset at(std::uint64_t offset) const { return DeviceOffset{offset_ + offset}; }

    nanoseconds to_device(DmaEngine& engine, const uiovfio::DmaBuffer& buffer) const {
        return Transfer{engine, timeout_}.run(size_, [&](std::uint64_t offset, std::uint32_t length) {
            return pcienic::copy(buffer.iova() + offset, at(offset), length);
        });
    }

    nanoseconds from_device(DmaEngine& engine, const uiovfio::DmaBuffer& buffer) const {
        return Transfer{engine, timeout_}.run(size_, [&](std::uint64_t offset, std::uint32_t length) {
            return pcienic::copy(at(offset), buffer.iova() + offset, length);
        });
    }

    [[nodiscard]] Json result(nanoseconds time, std::uint64_t moved, const uiovfio::DmaBuffer& buffer,
                              Json verified) const {
        const std::span<const std::byte> bytes = buffer.bytes().first(size_);
        const double seconds = std::chrono::duration<double>(time).count();
        Json row{{"operation", what_},
                 {"direction", what_ == "verify" ? "host-to-device-to-host" : direction_},
                 {"bytes", size_}};
        row["seconds"] = seconds;
        row["bytes_per_second"] = seconds > 0 ? static_cast<double>(moved) / seconds : 0;
        cli::put_number(row, "checksum", checksum(bytes), 64);
        row["verified"] = std::move(verified);
        save(bytes);
        return row;
    }

    void save(std::span<const std::byte> bytes) const {
        if (out_.empty()) return;
        std::ofstream stream{out_, std::ios::binary};
        stream.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
        stream.close();
        if (!stream)
            throw Failure{Exit::failure,
                          fmt::format("{}: could not be written: check the path and the free space", out_)};
    }

    Json copy(Session& session, DmaEngine& engine) const {
        uiovfio::DmaBuffer buffer = host_memory(session, direction_ != "device-to-host");
        if (direction_ == "host-to-device") return result(to_device(engine, buffer), size_, buffer, nullptr);
        if (direction_ == "device-to-host") return result(from_device(engine, buffer), size_, buffer, nullptr);
        uiovfio::DmaBuffer target = host_memory(session, false);
        const nanoseconds time = Transfer{engine, timeout_}.run(size_, [&](std::uint64_t offset, std::uint32_t length) {
            return pcienic::copy(buffer.iova() + offset, target.iova() + offset, length);
        });
        return result(time, size_, target, same(buffer, target));
    }

    Json fill(Session& session, DmaEngine& engine) const {
        uiovfio::DmaBuffer buffer = host_memory(session, false);
        uiovfio::DmaBuffer expected = host_memory(session, false);
        fill_with_pattern(expected.bytes().first(size_), pattern_);
        const bool host = direction_ == "host";
        const nanoseconds time = Transfer{engine, timeout_}.run(size_, [&](std::uint64_t offset, std::uint32_t length) {
            return host ? pcienic::fill(buffer.iova() + offset, length, pattern_)
                        : pcienic::fill(at(offset), length, pattern_);
        });
        if (!host) from_device(engine, buffer);
        return result(time, size_, buffer, same(buffer, expected));
    }

    Json verify(Session& session, DmaEngine& engine) const {
        uiovfio::DmaBuffer sent = host_memory(session, true);
        uiovfio::DmaBuffer received = host_memory(session, false);
        nanoseconds time = to_device(engine, sent);
        time += from_device(engine, received);
        return result(time, 2 * size_, received, same(sent, received));
    }

    [[nodiscard]] bool same(const uiovfio::DmaBuffer& a, const uiovfio::DmaBuffer& b) const {
        return std::memcmp(a.bytes().data(), b.bytes().data(), size_) == 0;
    }

    static std::string text(const Json& row) {
        const Json& verified = row["verified"];
        return fmt::format("{} {}: {} bytes in {:.6f} s, {:.1f} MiB/s, checksum {}{}",
                           row["operation"].get<std::string>(), row["direction"].get<std::string>(),
                           row["bytes"].dump(), row["seconds"].get<double>(),
                           row["bytes_per_second"].get<double>() / (1 << 20), row["checksum_hex"].get<std::string>(),
                           verified.is_null()     ? ""
                           : verified.get<bool>() ? ", verified"
                                                  : ", NOT the same");
    }

    std::string what_;
    std::string direction_;
    std::string size_text_;
    std::string offset_text_;
    std::string pattern_text_;
    std::string vector_text_;
    std::string timeout_text_ = "30s";
    std::string in_;
    std::string out_;
    std::uint64_t size_ = std::uint64_t{1} << 20;
    std::uint64_t offset_ = 0;
    std::uint64_t pattern_ = 0x0123456789abcdef;
    nanoseconds timeout_{};
    std::optional<unsigned> vector_;
    std::string input_;
};

}  // namespace

void add_dma_operation(cli::Options& line, Chosen& chosen) {
    add_operation<Dma>(line, chosen, "dma", "Move bytes by a pcienic's DMA engine, and show the rate");
}

}  // namespace pcienic::ctl
